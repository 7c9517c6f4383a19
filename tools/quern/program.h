#pragma once

#include <span>
#include <string>

#include "tools/cli/exit_code.h"

namespace quern::tools {

/// The program on its arguments, argv[0] left out. Never throws: every error becomes one line on
/// standard error and an exit code.
ExitCode run_program(std::span<const std::string> arguments) noexcept;

}  // namespace quern::tools
