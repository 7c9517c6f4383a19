#pragma once

#include "tools/cli/cli_forward.h"

namespace quern::tools {

/// What every subcommand offers about its own words.
struct OutputOptions {
  bool json = false;
  bool quiet = false;  ///< nothing on standard error but errors
  int verbosity = 0;   ///< 1: the library's information, 2: its debugging too
};

/// Adds --json, --quiet and -v to a subcommand; `options` must live as long as it.
void add_output_options(CLI::App& app, OutputOptions& options);

/// Lets the library's log appear on standard error as far as the options want it. Errors:
/// UsageError for --quiet with -v.
void apply_output_options(const OutputOptions& options);

}  // namespace quern::tools
