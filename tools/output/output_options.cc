#include "tools/output/output_options.h"

#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "quern/log.h"
#include "tools/cli/option_group.h"
#include "tools/cli/usage_error.h"
#include "tools/output/console.h"

namespace quern::tools {
namespace {

spdlog::level::level_enum spdlog_level(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return spdlog::level::debug;
    case LogLevel::info:
      return spdlog::level::info;
    case LogLevel::warning:
      return spdlog::level::warn;
  }
  return spdlog::level::warn;
}

}  // namespace

void add_output_options(CLI::App& app, OutputOptions& options) {
  OptionGroup group(app, "Output");
  group.flag("--json", options.json, "Print one JSON object instead of text");
  group.flag("-q,--quiet", options.quiet, "Print nothing on standard error but errors");
  app.add_flag("-v,--verbose", options.verbosity, "Show what the library does; -vv shows more")
      ->group("Output");
}

void apply_output_options(const OutputOptions& options) {
  if (options.quiet && options.verbosity > 0) {
    usage_error("--quiet and --verbose contradict each other");
  }
  if (options.quiet) return;
  const auto colour =
      wants_colour(kStderr) ? spdlog::color_mode::always : spdlog::color_mode::never;
  const auto sink = std::make_shared<spdlog::sinks::stderr_color_sink_mt>(colour);
  const auto logger = std::make_shared<spdlog::logger>("quern", sink);
  logger->set_pattern("%^%l%$: %v");
  logger->set_level(options.verbosity >= 2   ? spdlog::level::debug
                    : options.verbosity == 1 ? spdlog::level::info
                                             : spdlog::level::warn);
  // A command may load several engines, which warn of the same things.
  struct Warnings {
    std::mutex mutex;
    std::set<std::string, std::less<>> shown;
  };
  const auto warnings = std::make_shared<Warnings>();
  set_log_sink([logger, warnings](LogLevel level, std::string_view message) {
    if (level == LogLevel::warning) {
      const std::lock_guard lock(warnings->mutex);
      if (!warnings->shown.emplace(message).second) return;
    }
    logger->log(spdlog_level(level), message);
  });
}

}  // namespace quern::tools
