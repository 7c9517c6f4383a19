#pragma once

#include <cstdint>

namespace quern::kernels {

inline constexpr int kMaxEosTokenIds = 64;
inline constexpr int kMaxBiases = 512;
inline constexpr int kMaxBannedPhrases = 128;
inline constexpr int kMaxBannedPhraseTokens = 512;
inline constexpr int kMaxTopLogprobs = 20;
inline constexpr int kMaxDryBreakers = 64;
inline constexpr int kMaxDryMatch = 50;

// Written to the ring instead of a token when sampling failed: graph/step.h's SampleError.
inline constexpr std::int32_t kNonfiniteLogits = -2;
inline constexpr std::int32_t kNoToken = -3;

/// Sampling parameters of one sequence: graph/step.h's SamplingRow, member for member; kernels do
/// not include that header. src/backend/cuda/ops/sampling_rows.h asserts that both agree.
struct SamplingRow {
  std::uint64_t seed;
  std::uint32_t sequence_index;
  float temperature;
  float top_p;
  float min_p;
  std::int32_t top_k;
  float repetition_penalty;
  float presence_penalty;
  float frequency_penalty;
  std::int32_t no_repeat_ngram_size;
  float top_n_sigma;
  float typical_p;
  float epsilon_cutoff;
  float eta_cutoff;
  float xtc_probability;
  float xtc_threshold;
  float mirostat_tau;
  float mirostat_eta;
  float dry_multiplier;
  float dry_base;
  std::int32_t dry_allowed_length;
  std::int32_t dry_range;
  std::int32_t num_dry_breakers;
  std::int32_t num_top_logprobs;
  std::int32_t num_eos_token_ids;
  std::int32_t num_logit_bias;
  std::int32_t num_banned_phrases;
  std::int32_t eos_token_ids[kMaxEosTokenIds];
  std::int32_t bias_ids[kMaxBiases];
  float bias_values[kMaxBiases];
  std::int32_t bias_until[kMaxBiases];
  std::int32_t banned_phrase_ends[kMaxBannedPhrases];
  std::int32_t banned_phrase_tokens[kMaxBannedPhraseTokens];
  std::int32_t dry_breakers[kMaxDryBreakers];
};

}  // namespace quern::kernels
