#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

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

/// A stop string as written: \n, \t and \\ are escapes. Errors: UsageError for another escape, for
/// text that is not UTF-8 and for an empty string.
std::string parse_stop(const std::string& option, std::string_view text);

/// "ID=VALUE". Errors: UsageError.
std::pair<std::int32_t, float> parse_logit_bias(const std::string& option, std::string_view text);

}  // namespace quern::tools
