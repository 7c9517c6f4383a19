#pragma once

#include "tools/output/interrupt.h"
#include "tools/quality/summaries/summary_options.h"
#include "tools/quality/summaries/summary_report.h"

namespace quern::tools {

/// Summarizes articles, which were read from options.source, and scores the summaries beside the
/// reference's, as the options say, under a progress bar; keeps them in options.output_file. After
/// an interruption: the first articles only. Errors: UsageError for lengths beyond the context;
/// bad_file for a reference file that does not fit and an output file that cannot be written; those
/// of loading models.
SummaryReport run_summaries(const SummarizeOptions& options, Articles articles,
                            const InterruptScope& interrupt);

}  // namespace quern::tools
