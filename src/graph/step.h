#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/memory/tensor.h"
#include "graph/kv_format.h"
#include "graph/limits.h"
#include "graph/op.h"
#include "quern/sampling.h"
#include "weights/weight.h"

namespace quern {

/// The step's packed batch: concatenated sequences, decode sequences first. A pure decode batch may
/// end in padding up to a recorded batch size: decode sequences of one token whose state row is
/// Limits::padding_row(). All ops treat them as finished sequences. Scalars are host values, and
/// upper bounds where a sequence may have finished; arrays are on the device.
struct BatchView {
  /// Rows in use of a value.
  int num_rows(Rows rows) const { return rows == Rows::tokens ? num_tokens : num_logit_rows; }

  int num_tokens = 0;
  int num_seqs = 0;
  int num_decode_seqs = 0;  ///< these come first, with one token each from the state
  int num_logit_rows = 0;
  int max_q_len = 0;
  int max_kv_len = 0;
  std::int64_t total_kv_len = 0;               ///< sum over the sequences; only used by reports
  const std::int32_t* state_index = nullptr;   ///< [num_seqs] row of the persistent state
  const std::int32_t* token_ids = nullptr;     ///< [num_tokens]; unused for decode rows
  const std::int32_t* positions = nullptr;     ///< [num_tokens]; unused for decode rows
  const std::int32_t* cu_seqlens_q = nullptr;  ///< [num_seqs + 1] first token row of each sequence
  /// [num_seqs] after this step's append; unused for decode sequences
  const std::int32_t* kv_lens = nullptr;
  /// [num_logit_rows] token rows that need logits
  const std::int32_t* logit_rows = nullptr;
  /// [num_logit_rows] the sequence (0 … num_seqs - 1) of each logit row
  const std::int32_t* logit_seqs = nullptr;
};

/// Values of SequenceState::finished.
enum class SequenceStatus : std::int32_t { running = 0, stop = 1, limit = 2, error = 3 };

/// Why Sample could not choose a token: takes the token's place in last_token and the output ring.
enum class SampleError : std::int32_t {
  nonfinite_logits = -2,  ///< a raw logit is NaN or +inf
  no_token = -3,          ///< no token has a score above -inf
};

/// State that persists between steps, one row per sequence and one for padding; the runtime sets a
/// sequence's row at admission, then Sample and Advance update it. `rows`:
/// Limits::num_state_rows().
struct SequenceState {
  std::int32_t* last_token = nullptr;  ///< [rows] the next decode step's input
  std::int32_t* position = nullptr;    ///< [rows] its position, for rope and learned embeddings
  std::int32_t* kv_len = nullptr;      ///< [rows] tokens in the KV cache
  std::int32_t* finished = nullptr;    ///< [rows] SequenceStatus
  std::int32_t* generated = nullptr;   ///< [rows] tokens sampled so far
  std::int32_t* max_tokens = nullptr;  ///< [rows] the limit of `generated`
  std::int32_t* prompt_len = nullptr;  ///< [rows]
  /// [rows] fixed at admission from the prompt's length; see rope.h
  float* rope_alpha = nullptr;
  /// [rows] bits of surprise that mirostat lets through; 2 · mirostat_tau before the first token
  float* mirostat_mu = nullptr;
  std::int32_t* history = nullptr;       ///< [rows, history_stride] prompt and generated ids
  std::int64_t history_stride = 0;       ///< max_seq_len, and the token that is never fed back
  std::int32_t* num_finished = nullptr;  ///< [1] sequences that Advance has finished
};

/// A sequence's sampling parameters. Written once, at admission.
struct SamplingRow {
  std::uint64_t seed = 0;
  std::uint32_t sequence_index = 0;
  float temperature = 0.0f;  ///< 0: argmax
  float top_p = 1.0f;        ///< 1: off
  float min_p = 0.0f;        ///< 0: off
  std::int32_t top_k = 0;    ///< 0: off
  float repetition_penalty = 1.0f;
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;
  std::int32_t no_repeat_ngram_size = 0;  ///< 0: off
  float top_n_sigma = 0.0f;               ///< 0: off
  float typical_p = 1.0f;                 ///< 1: off
  float epsilon_cutoff = 0.0f;            ///< 0: off
  float eta_cutoff = 0.0f;                ///< 0: off
  float xtc_probability = 0.0f;           ///< 0: off
  float xtc_threshold = 0.1f;
  float mirostat_tau = 0.0f;  ///< 0: off
  float mirostat_eta = 0.1f;
  float dry_multiplier = 0.0f;  ///< 0: off
  float dry_base = 1.75f;
  std::int32_t dry_allowed_length = 2;
  std::int32_t dry_range = 0;  ///< the last tokens that count; 0: all
  std::int32_t num_dry_breakers = 0;
  std::int32_t num_top_logprobs = -1;  ///< -1: none; 0: the chosen token's; n: also the n best
  std::int32_t num_eos_token_ids = 0;
  std::int32_t num_logit_bias = 0;
  std::int32_t num_banned_phrases = 0;
  std::int32_t eos_token_ids[kMaxEosTokenIds] = {};
  std::int32_t bias_ids[kMaxBiases] = {};
  float bias_values[kMaxBiases] = {};  ///< -inf: the token is not chosen
  /// The bias counts while fewer tokens were generated; 0: always.
  std::int32_t bias_until[kMaxBiases] = {};
  /// The ends in banned_phrase_tokens of phrases, one after the other.
  std::int32_t banned_phrase_ends[kMaxBannedPhrases] = {};
  /// The last token of a phrase is not chosen after the others.
  std::int32_t banned_phrase_tokens[kMaxBannedPhraseTokens] = {};
  std::int32_t dry_breakers[kMaxDryBreakers] = {};  ///< tokens that end a repetition
};

/// Results for the host: a ring of the last `capacity` sampling steps, one column per state row.
/// All but `head` is in memory that the host can read while the device writes.
struct OutputRing {
  std::int32_t capacity = 0;
  std::int32_t max_seqs = 0;
  std::int64_t* head = nullptr;  ///< [1] sampling steps so far; step n is in row n % capacity
  /// [1] the same, published for the host: the rows of earlier steps are complete
  std::int64_t* published = nullptr;
  /// [capacity, max_seqs] -1: no token; below: a SampleError, a sequence's last entry
  std::int32_t* tokens = nullptr;
  float* logprobs = nullptr;        ///< [capacity, max_seqs] of the chosen token
  std::int32_t* top_ids = nullptr;  ///< [capacity, max_seqs, kMaxTopLogprobs] best first
  float* top_logprobs = nullptr;    ///< [capacity, max_seqs, kMaxTopLogprobs]
};

/// Stop conditions of a device loop: it ends after the step in which one becomes true. The host
/// writes it before the loop; Advance counts and decides.
struct LoopControl {
  std::int32_t steps_left = 0;       ///< counted down to 0
  std::int32_t stop_at_running = 0;  ///< stops at this number of running sequences or fewer
  std::int32_t stop_requested = 0;   ///< nonzero stops; the host may write it while the loop runs
};

/// The paged cache: keys and values each [layer][block][kv_head][slot][head_dim], stored as
/// `format` says. Slot n of a sequence is in block block_table[row][n / block_size], at n %
/// block_size.
struct KvCacheView {
  std::byte* keys = nullptr;
  std::byte* values = nullptr;
  float* key_scales = nullptr;    ///< [layer][block][kv_head][slot], or null where keys have none
  float* value_scales = nullptr;  ///< the same for the values
  KvFormat format;
  int num_layers = 0;
  std::int64_t num_blocks = 0;
  int num_kv_heads = 0;
  int block_size = 0;
  int head_dim = 0;
  const std::int32_t* block_table = nullptr;  ///< [rows, max_blocks_per_seq] by state row
  int max_blocks_per_seq = 0;

  /// Index of a slot's vector, the same for keys, values and their scales.
  std::int64_t vector(int layer, std::int64_t block, int kv_head, int slot) const {
    return ((layer * num_blocks + block) * num_kv_heads + kv_head) * block_size + slot;
  }

  /// Element offset of that vector in keys and values.
  std::int64_t offset(int layer, std::int64_t block, int kv_head, int slot) const {
    return vector(layer, block, kv_head, slot) * head_dim;
  }

  /// A slot's key and value: [head_dim] each; slots of a head are contiguous.
  std::byte* key(int layer, std::int64_t block, int kv_head, int slot) const {
    const auto element_bytes = static_cast<std::int64_t>(dtype_bytes(format.keys));
    return keys + offset(layer, block, kv_head, slot) * element_bytes;
  }
  std::byte* value(int layer, std::int64_t block, int kv_head, int slot) const {
    const auto element_bytes = static_cast<std::int64_t>(dtype_bytes(format.values));
    return values + offset(layer, block, kv_head, slot) * element_bytes;
  }

  /// Their scales, where they have one.
  float* key_scale(int layer, std::int64_t block, int kv_head, int slot) const {
    return key_scales == nullptr ? nullptr : key_scales + vector(layer, block, kv_head, slot);
  }
  float* value_scale(int layer, std::int64_t block, int kv_head, int slot) const {
    return value_scales == nullptr ? nullptr : value_scales + vector(layer, block, kv_head, slot);
  }

  /// Bytes of a block in one layer.
  KvBlockBytes block_bytes() const {
    return kv_block_bytes({1, num_kv_heads, head_dim}, format, block_size);
  }
};

/// A block copy in all layers: keys, values and their scales.
struct BlockCopy {
  std::int32_t source = 0;
  std::int32_t destination = 0;
  bool operator==(const BlockCopy&) const = default;
};

/// All data that a node may access. `values` and `weights` are indexed by ValueId and WeightId; a
/// value's Tensor has the rows of the limits, and the batch says how many are in use.
struct Step {
  BatchView batch;
  SequenceState state;
  const SamplingRow* sampling = nullptr;  ///< [rows of the state]
  /// Allowed tokens by logit row: [num_logit_rows, token_bitmask_stride] words of 32 tokens on the
  /// device; token t is bit t % 32 of word t / 32, set where it is allowed. Null: all are.
  const std::int32_t* token_bitmask = nullptr;
  std::int64_t token_bitmask_stride = 0;  ///< in words; at least ceil(vocab_size / 32)
  OutputRing ring;
  LoopControl* loop = nullptr;  ///< [1] on the device
  KvCacheView kv_cache;
  DType activation_dtype = DType::float32;  ///< T of op.h
  std::span<const Tensor> values;
  std::span<const Weight> weights;
  std::span<std::byte> workspace;

  const Tensor& value(ValueId id) const { return values[static_cast<std::size_t>(id)]; }
  const Weight& weight(WeightId id) const { return weights[static_cast<std::size_t>(id)]; }

  // Host-side access, for backends whose arrays the host can read.
  int q_len(int seq) const { return batch.cu_seqlens_q[seq + 1] - batch.cu_seqlens_q[seq]; }
  bool is_decode(int seq) const { return seq < batch.num_decode_seqs; }
  int kv_len(int seq) const {
    return is_decode(seq) ? state.kv_len[batch.state_index[seq]] + q_len(seq) : batch.kv_lens[seq];
  }
  std::int32_t token_id(int seq, int row) const {
    return is_decode(seq) ? state.last_token[batch.state_index[seq]] : batch.token_ids[row];
  }
  std::int32_t position(int seq, int row) const {
    return is_decode(seq) ? state.position[batch.state_index[seq]] : batch.positions[row];
  }
  bool is_running(int seq) const {
    return state.finished[batch.state_index[seq]] == static_cast<int>(SequenceStatus::running);
  }
};

}  // namespace quern
