#pragma once

#include <functional>
#include <string>

#include "quern/request.h"
#include "tools/cli/cli_forward.h"

namespace quern::tools {

/// Adds the options of beam search and of several answers to a prompt; `request` must live as long
/// as the subcommand. The returned check throws a UsageError for options that contradict each
/// other; call it after parsing.
std::function<void()> add_answer_options(CLI::App& app, Request& request);

/// "off", "on", "never", or what transformers (false, true) and TensorRT-LLM (0, 1, 2) call them.
/// Errors: UsageError.
EarlyStopping parse_early_stopping(const std::string& option, const std::string& value);

}  // namespace quern::tools
