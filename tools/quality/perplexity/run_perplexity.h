#pragma once

#include <string>

#include "tools/output/interrupt.h"
#include "tools/quality/perplexity/perplexity_options.h"
#include "tools/quality/perplexity/perplexity_report.h"

namespace quern::tools {

/// Judges `text`, which reports call `options.file`, as the options say, under a progress bar; an
/// interruption leaves the judgement incomplete. Errors: UsageError for windows beyond the context;
/// bad_file for a text of fewer than 2 tokens; those of loading models and reading saved logits.
PerplexityReport run_perplexity(const PerplexityOptions& options, const std::string& text,
                                const InterruptScope& interrupt);

}  // namespace quern::tools
