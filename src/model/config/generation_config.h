#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace quern {

/// generation_config.json, or all unset where there is none. An unset key means what Hugging Face's
/// `generate` does without it.
struct GenerationConfig {
  bool present = false;
  std::optional<bool> do_sample;
  std::optional<float> temperature, top_p, min_p, repetition_penalty;
  std::optional<float> typical_p;                   ///< 1: off, also for more
  std::optional<float> epsilon_cutoff, eta_cutoff;  ///< 0: off, also outside (0, 1)
  std::optional<int> top_k;                         ///< 0: off, also for -1
  std::optional<int> no_repeat_ngram_size;
  std::optional<int> max_new_tokens;
  std::optional<int> max_length;  ///< prompt and new tokens; max_new_tokens goes first
  std::optional<int> min_new_tokens;
  std::optional<int> min_length;              ///< prompt and new tokens; min_new_tokens goes first
  std::vector<std::int32_t> suppress_tokens;  ///< never chosen
  std::vector<std::int32_t> begin_suppress_tokens;       ///< never chosen as the first new token
  std::vector<std::vector<std::int32_t>> bad_words_ids;  ///< none may appear
  std::vector<std::string> stop_strings;
  std::optional<std::int32_t> bos_token_id, pad_token_id;
  std::vector<std::int32_t> eos_token_ids;
  std::string chat_format;
  std::optional<int> max_window_size;  ///< of a chat's prompt, in tokens
};

/// Reads folder/generation_config.json. Logs a warning that names each key that would change the
/// text and that we do not implement. Errors: bad_file (file, key, expected, actual).
GenerationConfig load_generation_config(const std::filesystem::path& folder);

}  // namespace quern
