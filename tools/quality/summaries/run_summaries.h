#pragma once

#include "tools/output/interrupt.h"
#include "tools/quality/summaries/summary_options.h"
#include "tools/quality/summaries/summary_report.h"

namespace quern::tools {

/// Summarizes articles, which were read from options.source, and scores the summaries beside the
/// reference's, as the options say, under a progress bar; keeps them in options.output_file. After
/// an interruption: the first articles only, in a file with ".partial" behind its name. Errors:
/// UsageError for lengths beyond the context; bad_file for a reference file that does not fit and
/// an output file that can be seen to be unwritable before the work; those of loading models. What
/// goes wrong with the file after the work is in the report.
SummaryReport run_summaries(const SummarizeOptions& options, Articles articles,
                            const InterruptScope& interrupt);

}  // namespace quern::tools
