#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <vector>

#include "tests/backend/conformance/step_harness.h"

namespace quern::testing {

inline constexpr float kInfinity = std::numeric_limits<float>::infinity();

inline std::vector<SequenceSpec> prefills(int count) {
  return std::vector<SequenceSpec>(static_cast<std::size_t>(count));
}

/// The settings that the random tests iterate over.
inline std::vector<SamplingRow> sampling_settings() {
  return {
      {.temperature = 1.0f},
      {.temperature = 0.6f},
      {.temperature = 1.5f, .top_k = 5},
      {.temperature = 1.0f, .top_k = 1000},
      {.temperature = 1.0f, .top_p = 0.7f},
      {.temperature = 1.0f, .top_p = 0.05f},
      {.temperature = 1.3f, .min_p = 0.1f},
      {.temperature = 0.8f, .top_p = 0.9f, .min_p = 0.02f, .top_k = 20},
      {.temperature = 1.0f, .top_p = 0.8f, .repetition_penalty = 1.4f},
      {.temperature = 0.9f, .top_k = 12, .presence_penalty = 0.7f, .frequency_penalty = 0.4f},
      {.temperature = 1.0f, .repetition_penalty = 0.8f, .no_repeat_ngram_size = 2},
      {.temperature = 1.0f, .top_n_sigma = 0.7f},
      {.temperature = 1.2f, .top_p = 0.9f, .top_n_sigma = 1.5f},
      {.temperature = 1.0f, .top_k = 40, .top_n_sigma = 0.5f},
      {.temperature = 1.0f, .typical_p = 0.3f},
      {.temperature = 0.7f, .min_p = 0.01f, .top_k = 30, .typical_p = 0.8f},
      {.temperature = 1.0f, .epsilon_cutoff = 0.02f},
      {.temperature = 1.0f, .eta_cutoff = 0.1f},
      {.temperature = 1.1f, .typical_p = 0.7f, .epsilon_cutoff = 0.01f, .eta_cutoff = 0.05f},
      {.temperature = 1.0f, .xtc_probability = 1.0f, .xtc_threshold = 0.03f},
      {.temperature = 1.0f, .top_p = 0.8f, .xtc_probability = 0.5f, .xtc_threshold = 0.05f},
      {.temperature = 1.0f, .typical_p = 0.6f, .xtc_probability = 0.5f, .xtc_threshold = 0.02f},
      {.temperature = 1.0f, .dry_multiplier = 0.8f, .dry_allowed_length = 1},
      {.temperature = 1.0f,
       .frequency_penalty = 0.2f,
       .typical_p = 0.9f,
       .dry_multiplier = 2.0f,
       .dry_base = 1.2f,
       .dry_allowed_length = 2,
       .dry_range = 9,
       .num_dry_breakers = 1,
       .dry_breakers = {7}},
  };
}

/// One Sample over given logits, one row per sequence.
class Sampler {
 public:
  Sampler(Backend& backend, const std::vector<SequenceSpec>& seqs, std::int64_t vocab_size,
          const std::vector<float>& logits)
      : harness(backend, DType::float32, seqs) {
    op.logits = harness.add_value(DType::float32, vocab_size, logits, Rows::logit_rows);
  }

  void set_history(int seq, const std::vector<std::int32_t>& prompt,
                   const std::vector<std::int32_t>& generated) {
    const SequenceState& state = harness.step().state;
    const int row = harness.state_row(seq);
    harness.poke(state.prompt_len, row, static_cast<std::int32_t>(prompt.size()));
    harness.poke(state.generated, row, static_cast<std::int32_t>(generated.size()));
    std::int64_t at = row * state.history_stride;
    for (const std::int32_t id : prompt) harness.poke(state.history, at++, id);
    for (const std::int32_t id : generated) harness.poke(state.history, at++, id);
  }

  /// The token of each sequence.
  std::vector<std::int32_t> run() {
    harness.run(op);
    const auto rows = harness.read_array(harness.step().state.last_token,
                                         static_cast<std::size_t>(harness.num_seqs()));
    return {rows.rbegin(), rows.rend()};  // the harness numbers its state rows backwards
  }

  StepHarness harness;
  Sample op{};
};

}  // namespace quern::testing
