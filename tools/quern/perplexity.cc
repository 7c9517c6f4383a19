#include <fmt/format.h>

#include <memory>

#include "tools/generation/likelihood.h"
#include "tools/input/text_input.h"
#include "tools/output/console.h"
#include "tools/output/interrupt.h"
#include "tools/quality/perplexity/perplexity_options.h"
#include "tools/quality/perplexity/run_perplexity.h"
#include "tools/quern/command.h"

namespace quern::tools {
namespace {

ExitCode perplexity(const PerplexityOptions& options) {
  const InterruptScope interrupt;
  const PerplexityReport report = run_perplexity(options, read_utf8_file(options.file), interrupt);
  if (options.output.json) {
    OrderedJson json = subject_json(report.info, report.engine);
    json.update(perplexity_json(report));
    print_json(json);
  } else {
    write_stdout(perplexity_text(report));
  }
  const Judgement& judgement = report.judgement;
  if (judgement.num_nonfinite > 0) {
    print_error(fmt::format("{}: non-finite logits for {} of {} tokens; {}", report.file,
                            judgement.num_nonfinite, judgement.nll.size(), kNonfiniteHint));
  }
  if (!judgement.complete) return ExitCode::interrupted;
  if (judgement.num_nonfinite > 0 && !options.has_checks()) return ExitCode::failed;
  return checks_exit(report.checks);
}

}  // namespace

Action add_perplexity(CLI::App& app) {
  const auto options = std::make_shared<PerplexityOptions>();
  const auto check = add_perplexity_options(app, *options);
  return [=] {
    check();
    apply_output_options(options->output);
    return perplexity(*options);
  };
}

}  // namespace quern::tools
