#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "quern/request.h"

namespace quern::tools {

/// Settings of one prompt, which take the place of the command line's.
struct PromptSettings {
  std::optional<int> max_new_tokens;
  std::optional<float> temperature;
  std::optional<int> top_k;
  std::optional<float> top_p;
  std::optional<float> min_p;
  std::optional<float> top_n_sigma, typical_p, epsilon_cutoff, eta_cutoff;
  std::optional<std::uint64_t> seed;
  std::optional<std::vector<std::string>> stop;
};

/// Gives a request these settings. A prompt that wants to be sampled is, also under --greedy or
/// --temperature 0.
void apply(const PromptSettings& settings, Request& request);

/// One prompt: a text, ids where `ids` is not empty, or messages where `messages` is not.
struct Prompt {
  std::string text;
  std::vector<std::int32_t> ids;
  std::string
      source;  ///< where it comes from, for errors: "--prompt", "standard input", "p.jsonl:2"
  PromptSettings settings = {};
  std::string messages = {};  ///< a JSON list, for a chat template
};

/// The prompts of JSON lines: on each that is not blank an object with {"prompt": "…"} or
/// {"prompt_ids": […]}, and of PromptSettings what the prompt wants ("stop": a text or a list of
/// texts). With `takes_messages` {"messages": […]} is a third kind. `file` is what errors call the
/// text. Errors: bad_file naming file, line and key, also for other keys.
std::vector<Prompt> parse_prompt_lines(std::string_view text, const std::string& file,
                                       bool takes_messages = false);

}  // namespace quern::tools
