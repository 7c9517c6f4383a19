#include <memory>

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
  return report.judgement.complete ? checks_exit(report.checks) : ExitCode::interrupted;
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
