#pragma once

#include <span>
#include <string>
#include <vector>

#include "tools/cli/cli_forward.h"

namespace quern::tools {

/// The command line as the parser takes it without guessing: `_` in option and subcommand names
/// becomes `-`, other engines' spellings become ours (--max_output_len is --max-new-tokens),
/// --name=value and -nvalue become two arguments, an option that takes a value takes the next
/// argument whatever it begins with, and `help run` becomes `run --help`. Errors: UsageError for
/// unknown options and subcommands, with the nearest name, for a value that is missing or not
/// wanted, and for arguments that no option takes.
std::vector<std::string> normalize_arguments(const CLI::App& program,
                                             std::span<const std::string> arguments);

}  // namespace quern::tools
