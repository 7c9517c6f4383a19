#pragma once

#include <cstdint>
#include <limits>

#include "graph/op.h"
#include "quern/limits.h"

namespace quern {

// What one SamplingRow holds.
inline constexpr int kMaxEosTokenIds = 64;     ///< the host checks for those beyond
inline constexpr int kMaxBiases = 512;         ///< kMaxLogitBias of a request, and the model's
inline constexpr int kMaxBannedPhrases = 128;  ///< of two tokens or more
inline constexpr int kMaxBannedPhraseTokens = 512;
inline constexpr int kMaxDryBreakers = 64;
/// The longest repetition that DRY counts, in tokens: text-generation-webui's.
inline constexpr int kMaxDryMatch = 50;

/// The block size (tokens) that engines use.
inline constexpr int kBlockSize = 32;

/// The limits an engine is built for. They fix every address: nothing is allocated after loading.
struct Limits {
  int max_seqs = 1;             ///< concurrent sequences
  int max_seq_len = 0;          ///< tokens of one sequence, prompt and generated
  int max_tokens_per_step = 0;  ///< rows of a step: decode tokens plus prefill chunks
  /// Rows of a step in which many sequences decode and few are in prefill: so many take hardly
  /// longer than the decode sequences alone, and what is left of the prompts can wait for the next.
  int max_mixed_tokens = std::numeric_limits<int>::max();
  int max_logit_rows = 0;       ///< rows of a step whose logits are computed, at least max_seqs
  int block_size = kBlockSize;  ///< tokens of one KV block
  std::int64_t num_blocks = 0;  ///< KV blocks of the whole engine
  int max_rows(Rows rows) const {
    return rows == Rows::tokens ? max_tokens_per_step : max_logit_rows;
  }
  /// Rows of the persistent state: one per sequence, and padding_row().
  int num_state_rows() const { return max_seqs + 1; }
  /// The state row of padding in a decode batch: never a sequence's, always finished.
  int padding_row() const { return max_seqs; }
  int max_blocks_per_seq() const { return (max_seq_len + block_size - 1) / block_size; }
};

}  // namespace quern
