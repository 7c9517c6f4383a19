#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "quern/export.h"
#include "quern/limits.h"

namespace quern {

/// Sampling parameters of a request. Unset ones are taken from the model's generation_config.json,
/// else they are off; a model without one decodes greedily. Setting temperature, top_k, top_p or
/// min_p turns sampling on. Order as in Hugging Face: penalties, n-gram, bias, then temperature,
/// top-k, top-p, min-p.
struct SamplingParams {
  /// Argmax of the logits: generation_config's sampling and penalties do not apply, penalties set
  /// here do.
  bool greedy = false;
  std::optional<float> temperature;  ///< > 0; 0 is the same as greedy
  std::optional<int> top_k;          ///< keep the k best tokens (and ties with the last); 0: off
  std::optional<float> top_p;  ///< keep the smallest set with this probability, in (0, 1]; 1: off
  std::optional<float>
      min_p;  ///< drop tokens under min_p times the best one's probability, in [0, 1]; 0: off

  std::optional<float>
      repetition_penalty;  ///< > 0, over prompt and generated tokens (Hugging Face); 1: off
  std::optional<float> presence_penalty;    ///< over generated tokens (OpenAI, vLLM); 0: off
  std::optional<float> frequency_penalty;   ///< times their count; 0: off
  std::optional<int> no_repeat_ngram_size;  ///< over prompt and generated tokens; 0: off
  std::vector<std::pair<std::int32_t, float>>
      logit_bias;  ///< (token id, added to its logit), at most kMaxLogitBias

  /// Same seed, same text, alone or in any batch. Unset: a random one below 2^53, returned in
  /// Result::seed.
  std::optional<std::uint64_t> seed;
};

/// A seed from the system's random source, as requests without one get it: below 2^53, so that
/// readers of JSON with double-precision numbers keep it.
QUERN_API std::uint64_t random_seed();

}  // namespace quern
