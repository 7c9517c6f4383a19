#pragma once

#include <functional>
#include <string>

#include "quern/request.h"
#include "tools/cli/cli_forward.h"

namespace quern::tools {

/// What the help says of options that are not given.
struct GenerationDefaults {
  std::string sampling = "the model's generation_config.json, else greedy";
  std::string max_new_tokens = "generation_config.json's, else 128";
};

/// Adds what `quern run` offers about sampling and ends; `request` is filled but for its prompt and
/// must live as long as the subcommand. The returned check throws a UsageError for options that
/// contradict each other; call it after parsing.
std::function<void()> add_generation_options(CLI::App& app, Request& request,
                                             const GenerationDefaults& defaults = {});

}  // namespace quern::tools
