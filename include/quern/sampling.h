#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "quern/export.h"
#include "quern/limits.h"

namespace quern {

/// Sampling parameters of a request. Unset ones are taken from the model's generation_config.json,
/// else they are off; a model without one decodes greedily. Setting temperature or a filter turns
/// sampling on; see sets_filters(). Order as in Hugging Face: penalties, DRY, n-gram, bias, then
/// temperature, top-nσ, top-k, top-p, min-p, typical-p, epsilon- and eta-cutoff, XTC; mirostat
/// takes the place of these filters.
struct SamplingParams {
  /// Argmax of the logits: generation_config's sampling and penalties do not apply, penalties set
  /// here do.
  bool greedy = false;
  std::optional<float> temperature;  ///< > 0; 0 is the same as greedy
  std::optional<int> top_k;          ///< keep the k best tokens (and ties with the last); 0: off
  std::optional<float> top_p;  ///< keep the smallest set with this probability, in (0, 1]; 1: off
  std::optional<float>
      min_p;  ///< drop tokens under min_p times the best one's probability, in [0, 1]; 0: off
  /// Keep tokens whose logit is within this many standard deviations of the best one; 0: off.
  std::optional<float> top_n_sigma;
  /// Keep the tokens whose information is nearest to the entropy and that together have this
  /// probability, in (0, 1]; 1: off.
  std::optional<float> typical_p;
  std::optional<float> epsilon_cutoff;  ///< drop tokens under this probability, in [0, 1); 0: off
  /// Drop tokens under min(eta, √eta · exp(-entropy)), in [0, 1); 0: off.
  std::optional<float> eta_cutoff;
  /// XTC: with this probability, of the tokens of at least xtc_threshold keep only the least
  /// probable one, in [0, 1]; 0: off.
  std::optional<float> xtc_probability;
  std::optional<float> xtc_threshold;  ///< in [0, 1]; unset: 0.1. Above 0.5 it has no effect
  /// Mirostat (v2): only tokens up to a surprise that is adjusted after each token, so that the
  /// mean surprise of the text comes near this many bits; 0: off. The filters above are then off,
  /// too: those of generation_config are ignored, others contradict it.
  std::optional<float> mirostat_tau;
  /// How much of a token's deviation from mirostat_tau is made up for, at least 0; unset: 0.1.
  std::optional<float> mirostat_eta;

  std::optional<float>
      repetition_penalty;  ///< > 0, over prompt and generated tokens (Hugging Face); 1: off
  std::optional<float> presence_penalty;    ///< over generated tokens (OpenAI, vLLM); 0: off
  std::optional<float> frequency_penalty;   ///< times their count; 0: off
  std::optional<int> no_repeat_ngram_size;  ///< over prompt and generated tokens; 0: off
  /// DRY: subtracts dry_multiplier · dry_base ^ (n - dry_allowed_length) from tokens that would
  /// make a repetition of n ≥ dry_allowed_length tokens longer; over prompt and generated tokens;
  /// 0: off.
  std::optional<float> dry_multiplier;
  std::optional<float> dry_base;          ///< at least 1; unset: 1.75
  std::optional<int> dry_allowed_length;  ///< at least 1; unset: 2
  std::optional<int> dry_range;           ///< the last tokens that count; 0 and unset: all
  /// Texts whose last token ends a repetition; unset: "\n", ":", "\"" and "*".
  std::optional<std::vector<std::string>> dry_sequence_breakers;
  std::vector<std::pair<std::int32_t, float>>
      logit_bias;  ///< (token id, added to its logit), at most kMaxLogitBias

  /// Same seed, same text, alone or in any batch. Unset: a random one below 2^53, returned in
  /// Result::seed.
  std::optional<std::uint64_t> seed;
};

/// Whether one of top_k, top_p, min_p, top_n_sigma, typical_p, epsilon_cutoff, eta_cutoff,
/// xtc_probability and mirostat_tau is set.
QUERN_API bool sets_filters(const SamplingParams& params);

/// A seed from the system's random source, as requests without one get it: below 2^53, so that
/// readers of JSON with double-precision numbers keep it.
QUERN_API std::uint64_t random_seed();

}  // namespace quern
