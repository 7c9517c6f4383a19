#include "tools/quern/program.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <exception>
#include <map>
#include <memory>
#include <new>
#include <vector>

#include "quern/error.h"
#include "quern/version.h"
#include "tools/cli/help_formatter.h"
#include "tools/cli/parsing/arguments.h"
#include "tools/cli/usage_error.h"
#include "tools/output/console.h"
#include "tools/output/interrupt.h"
#include "tools/output/json_output.h"
#include "tools/quern/command.h"
#include "tools/report/environment.h"

namespace quern::tools {
namespace {

constexpr const char* kExamples = R"(Examples:
  quern run -m examples/models/tale-llama -p "Once upon a time"
  quern run -m examples/models/tale-qwen2 -p "The king had three sons." --top-k 20 --seed 7
  quern inspect -m examples/models/tale-gpt2 --graph
  quern tokenize -m examples/models/tale-llama -p "three sons" --json

quern COMMAND --help tells a command's options.)";

struct ProgramFlags {
  bool version = false;
  bool json = false;
};

void print_version(bool json) {
  if (json) {
    print_json({{"version", version()}, {"commit", commit()}, {"line", version_line()}});
  } else {
    write_stdout(version_line() + "\n");
  }
}

ExitCode dispatch(std::span<const std::string> arguments) {
  CLI::App app("Quern grinds a Hugging Face model folder into text.", "quern");
  app.formatter(std::make_shared<HelpFormatter>(help_width()));
  app.footer(kExamples);
  ProgramFlags flags;
  app.set_help_flag("-h,--help", "Show this help");
  app.add_flag("--version", flags.version, "Show the version");
  app.add_flag("--json", flags.json, "With --version: as JSON");
  std::map<const CLI::App*, Action> actions;
  for (const Command& command : kCommands) {
    CLI::App* subcommand = app.add_subcommand(command.name, command.description);
    subcommand->group("Commands");
    subcommand->footer(fmt::format("Example:\n  {}", command.example));
    actions[subcommand] = command.add(*subcommand);
    subcommand->set_help_flag("-h,--help", "Show this help")->group("Output");
  }
  CLI::App* describe = app.add_subcommand("describe", "Print shell completion or the man page");
  describe->group("");  // for packages: help does not show it
  actions[describe] = add_describe(*describe);

  std::vector<std::string> normalized = normalize_arguments(app, arguments);
  std::reverse(normalized.begin(), normalized.end());  // the order that CLI11 takes
  try {
    app.parse(std::move(normalized));
  } catch (const CLI::CallForHelp&) {
    write_stdout(app.help());
    return ExitCode::done;
  }
  if (flags.version) {
    print_version(flags.json);
    return ExitCode::done;
  }
  if (app.get_subcommands().empty()) {
    usage_error("no command; quern --help lists them");
  }
  return actions.at(app.get_subcommands().front())();
}

}  // namespace

ExitCode run_program(std::span<const std::string> arguments) noexcept {
  try {
    return dispatch(arguments);
  } catch (const ClosedPipe&) {
    return ExitCode::done;
  } catch (const InterruptedError&) {
    return ExitCode::interrupted;
  } catch (const UsageError& error) {
    print_error(error.what());
    return ExitCode::usage;
  } catch (const CLI::ParseError& error) {
    print_error(error.what());
    return ExitCode::usage;
  } catch (const std::bad_alloc&) {
    print_error("out of memory");
  } catch (const std::exception& error) {
    print_error(error.what());
  } catch (...) {
    print_error("unknown failure");
  }
  return ExitCode::failed;
}

}  // namespace quern::tools
