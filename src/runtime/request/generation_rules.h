#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "graph/step.h"
#include "model/config/generation_config.h"

namespace quern {

/// Adds to a row what generation_config.json rules out, whether tokens are drawn or not:
/// suppress_tokens, begin_suppress_tokens, bad_words_ids, and the row's eos_token_ids before
/// min_new_tokens or min_length are reached. Ids outside the vocabulary are ignored. Errors:
/// unsupported where a row cannot hold them all, naming the key and the number.
void add_generation_rules(const GenerationConfig& generation, int prompt_len,
                          std::span<const std::int32_t> eos_token_ids, int vocab_size,
                          SamplingRow& row);

/// The number of new tokens that generation_config.json asks for, if it does. Errors:
/// invalid_argument for a prompt that is as long as its max_length, which Hugging Face refuses too.
std::optional<int> max_new_tokens_of(const GenerationConfig& generation, int prompt_len);

}  // namespace quern
