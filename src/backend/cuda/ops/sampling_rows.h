#pragma once

#include <cstddef>

#include "graph/step.h"
#include "kernels/sample/sampling_row.h"

namespace quern::cuda {

// Kernels do not include graph headers, so they have a SamplingRow of their own. Asserts that both
// have the same layout.
static_assert(sizeof(SamplingRow) == sizeof(kernels::SamplingRow));
static_assert(kMaxEosTokenIds == kernels::kMaxEosTokenIds);
static_assert(kMaxBiases == kernels::kMaxBiases);
static_assert(kMaxBannedPhrases == kernels::kMaxBannedPhrases);
static_assert(kMaxBannedPhraseTokens == kernels::kMaxBannedPhraseTokens);
static_assert(kMaxTopLogprobs == kernels::kMaxTopLogprobs);
static_assert(kMaxDryBreakers == kernels::kMaxDryBreakers);
static_assert(kMaxDryMatch == kernels::kMaxDryMatch);
static_assert(static_cast<std::int32_t>(SampleError::nonfinite_logits) ==
              kernels::kNonfiniteLogits);
static_assert(static_cast<std::int32_t>(SampleError::no_token) == kernels::kNoToken);
#define QUERN_SAME_PLACE(member)                                                          \
  static_assert(offsetof(SamplingRow, member) == offsetof(kernels::SamplingRow, member)); \
  static_assert(sizeof(SamplingRow::member) == sizeof(kernels::SamplingRow::member))
QUERN_SAME_PLACE(seed);
QUERN_SAME_PLACE(sequence_index);
QUERN_SAME_PLACE(temperature);
QUERN_SAME_PLACE(top_p);
QUERN_SAME_PLACE(min_p);
QUERN_SAME_PLACE(top_k);
QUERN_SAME_PLACE(repetition_penalty);
QUERN_SAME_PLACE(presence_penalty);
QUERN_SAME_PLACE(frequency_penalty);
QUERN_SAME_PLACE(no_repeat_ngram_size);
QUERN_SAME_PLACE(top_n_sigma);
QUERN_SAME_PLACE(typical_p);
QUERN_SAME_PLACE(epsilon_cutoff);
QUERN_SAME_PLACE(eta_cutoff);
QUERN_SAME_PLACE(xtc_probability);
QUERN_SAME_PLACE(xtc_threshold);
QUERN_SAME_PLACE(mirostat_tau);
QUERN_SAME_PLACE(mirostat_eta);
QUERN_SAME_PLACE(dry_multiplier);
QUERN_SAME_PLACE(dry_base);
QUERN_SAME_PLACE(dry_allowed_length);
QUERN_SAME_PLACE(dry_range);
QUERN_SAME_PLACE(num_dry_breakers);
QUERN_SAME_PLACE(num_top_logprobs);
QUERN_SAME_PLACE(num_eos_token_ids);
QUERN_SAME_PLACE(num_logit_bias);
QUERN_SAME_PLACE(num_banned_phrases);
QUERN_SAME_PLACE(eos_token_ids);
QUERN_SAME_PLACE(bias_ids);
QUERN_SAME_PLACE(bias_values);
QUERN_SAME_PLACE(bias_until);
QUERN_SAME_PLACE(banned_phrase_ends);
QUERN_SAME_PLACE(banned_phrase_tokens);
QUERN_SAME_PLACE(dry_breakers);
#undef QUERN_SAME_PLACE

/// The rows as the kernels' type.
inline const kernels::SamplingRow* kernel_rows(const SamplingRow* rows) {
  return reinterpret_cast<const kernels::SamplingRow*>(rows);
}

}  // namespace quern::cuda
