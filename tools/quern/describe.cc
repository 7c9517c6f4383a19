#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "quern/version.h"
#include "tools/cli/option_group.h"
#include "tools/cli/usage_error.h"
#include "tools/output/console.h"
#include "tools/quern/command.h"
#include "tools/shell/completion.h"
#include "tools/shell/man_page.h"
#include "tools/shell/option_tables.h"

namespace quern::tools {
namespace {

struct DescribeOptions {
  std::string form;
  std::string date = "1970-01-01";
};

std::string described(const CLI::App& program, const DescribeOptions& options) {
  const OptionTables tables = option_tables(program);
  if (options.form == "bash") return bash_completion(tables);
  if (options.form == "zsh") return zsh_completion(tables);
  if (options.form == "fish") return fish_completion(tables);
  if (options.form == "man") return man_page(tables, version(), options.date);
  usage_error("--as: expected bash, zsh, fish or man, got '{}'", options.form);
}

}  // namespace

Action add_describe(CLI::App& app) {
  const auto options = std::make_shared<DescribeOptions>();
  OptionGroup group(app, "Output");
  group.text({"--as", "FORM", "What to print: bash, zsh or fish completion, or man"},
             options->form);
  group.text({"--date", "DATE", "Date of the man page, YYYY-MM-DD"}, options->date);
  return [options, program = app.get_parent()] {
    if (options->form.empty()) usage_error("--as is missing: bash, zsh, fish or man");
    write_stdout(described(*program, *options));
    return ExitCode::done;
  };
}

}  // namespace quern::tools
