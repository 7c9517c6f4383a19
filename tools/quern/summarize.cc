#include <memory>
#include <string>
#include <vector>

#include "tools/output/console.h"
#include "tools/output/interrupt.h"
#include "tools/quality/summaries/run_summaries.h"
#include "tools/quality/summaries/summary_options.h"
#include "tools/quality/summaries/summary_report.h"
#include "tools/quern/command.h"

namespace quern::tools {
namespace {

ExitCode summarize(const SummarizeOptions& options) {
  const InterruptScope interrupt;
  const SummaryReport report = run_summaries(options, read_articles(options.source), interrupt);
  if (options.output.json) {
    OrderedJson json = subject_json(report.info, report.options);
    json.update(summary_json(report));
    json["timing"] = timing_json(report.timing);
    print_json(json);
  } else {
    write_stdout(first_article_text(report) + summary_text(report));
  }
  const std::vector<std::string> errors = summary_errors(report);
  for (const std::string& error : errors) print_error(error);
  if (report.file_error) std::rethrow_exception(report.file_error);
  if (!report.complete) return ExitCode::interrupted;
  if (!errors.empty() && !options.check_accuracy) return ExitCode::failed;
  return checks_exit(report.checks);
}

}  // namespace

Action add_summarize(CLI::App& app) {
  const auto options = std::make_shared<SummarizeOptions>();
  const auto settle = add_summarize_options(app, *options);
  return [=] {
    settle();
    apply_output_options(options->output);
    return summarize(*options);
  };
}

}  // namespace quern::tools
