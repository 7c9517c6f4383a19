#include <algorithm>
#include <cmath>

#include "backend/cpu/attention/attention_scratch.h"
#include "backend/cpu/gemm/gemm.h"
#include "backend/cpu/ops/norm.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/views.h"
#include "base/check.h"
#include "base/half.h"
#include "graph/kv_vector.h"
#include "graph/rope.h"

namespace quern::cpu {
namespace {

/// Fills scratch.inv_freq for the running sequences.
void compute_frequencies(const Rope& rope, const Step& step, float* inv_freq) {
  for (int seq = 0; seq < step.batch.num_seqs; ++seq) {
    if (!step.is_running(seq)) continue;
    double alpha = 1.0;
    if (has_alpha(rope.type)) {
      alpha = step.state.rope_alpha[step.batch.state_index[seq]];
    }
    if (alpha_follows_length(rope.type)) {
      alpha = std::max(alpha, rope_alpha(rope, step.kv_len(seq)));
    }
    const auto half = static_cast<std::size_t>(rope.rotary_dim / 2);
    rope_inv_freq(rope, alpha, {inv_freq + static_cast<std::size_t>(seq) * half, half});
  }
}

/// Cosines and sines of one token's angles; empty without rope.
struct Rotation {
  std::span<float> cosines;
  std::span<float> sines;

  void set(const Rope& rope, const float* inv_freq, std::int32_t position) {
    const auto factor = static_cast<float>(rope.attention_factor);
    for (std::size_t i = 0; i < cosines.size(); ++i) {
      const float angle = static_cast<float>(position) * inv_freq[i];
      cosines[i] = std::cos(angle) * factor;
      sines[i] = std::sin(angle) * factor;
    }
  }

  /// Rotates a head in the half-split (NeoX) layout.
  void apply(float* head) const {
    const std::size_t half = cosines.size();
    for (std::size_t i = 0; i < half; ++i) {
      const float first = head[i];
      const float second = head[i + half];
      head[i] = first * cosines[i] - second * sines[i];
      head[i + half] = second * cosines[i] + first * sines[i];
    }
  }
};

/// The logn factor of a query.
float logn_scale(const Attention& op, std::int32_t position) {
  if (op.logn_length == 0 || position < op.logn_length) return 1.0f;
  return static_cast<float>(std::log(position + 1.0) / std::log(op.logn_length));
}

/// One token of a running sequence.
class TokenAppender {
 public:
  TokenAppender(const Attention& op, const Step& step, const AttentionScratch& scratch, int thread)
      : op_(op), step_(step), scratch_(scratch), head_dim_(static_cast<std::size_t>(op.head_dim)) {
    float* head = scratch.head + thread * scratch.head_stride;
    const auto half = static_cast<std::size_t>(op.rope ? op.rope->rotary_dim / 2 : 0);
    rotation_.cosines = {head, half};
    rotation_.sines = {head + half, half};
    key_ = {head + 2 * half, head_dim_};
  }

  void append(int seq, std::int64_t row) {
    const std::int32_t position = step_.position(seq, static_cast<int>(row));
    if (op_.rope) {
      const auto half = static_cast<std::int64_t>(rotation_.cosines.size());
      rotation_.set(*op_.rope, scratch_.inv_freq + seq * half, position);
    }
    make_queries(row, logn_scale(op_, position));
    const std::int64_t slot =
        step_.kv_len(seq) - step_.q_len(seq) + (row - step_.batch.cu_seqlens_q[seq]);
    store_keys_and_values(row, step_.batch.state_index[seq], slot);
  }

 private:
  void make_queries(std::int64_t row, float scale) {
    const Tensor& qkv = step_.value(op_.qkv);
    const int group = group_size(op_);
    for (int head = 0; head < op_.num_heads; ++head) {
      const std::int64_t group_row = (head / group) * std::int64_t{step_.batch.num_tokens} + row;
      const std::span<float> query{
          scratch_.queries + (group_row * group + head % group) * op_.head_dim, head_dim_};
      load_floats(qkv.dtype, element(qkv, row, std::int64_t{head} * op_.head_dim), query);
      norm_and_rotate(op_.q_norm, query);
      if (scale != 1.0f) {
        for (float& value : query) value *= scale;
      }
      round_floats(qkv.dtype, query);
    }
  }

  void store_keys_and_values(std::int64_t row, std::int32_t state_row, std::int64_t slot) {
    const Tensor& qkv = step_.value(op_.qkv);
    const std::int64_t first_key = std::int64_t{op_.num_heads} * op_.head_dim;
    const std::int64_t first_value = first_key + std::int64_t{op_.num_kv_heads} * op_.head_dim;
    for (int head = 0; head < op_.num_kv_heads; ++head) {
      const KvSlots slots(step_.kv_cache, op_.layer, head, state_row);
      const std::int64_t column = std::int64_t{head} * op_.head_dim;
      load_floats(qkv.dtype, element(qkv, row, first_key + column), key_);
      norm_and_rotate(op_.k_norm, key_);
      store(key_, slots.keys(slot, slot + 1));
      load_floats(qkv.dtype, element(qkv, row, first_value + column), key_);
      store(key_, slots.values(slot, slot + 1));
    }
  }

  /// Rounds a vector to the activation dtype, and quantizes it where the cache has scales.
  void store(std::span<float> vector, const CachedVectors& slot) const {
    if (slot.scales == nullptr) return store_floats(slot.stored.dtype, vector, slot.stored.data);
    round_floats(step_.activation_dtype, vector);
    *slot.scales = quantize_kv_vector(slot.stored.dtype, vector, slot.stored.data);
  }

  void norm_and_rotate(const std::optional<WeightId>& gain, std::span<float> head) const {
    if (gain) rms_norm(head, step_.weight(*gain).values.row<float>(0), op_.norm_epsilon);
    rotation_.apply(head.data());
  }

  const Attention& op_;
  const Step& step_;
  const AttentionScratch& scratch_;
  std::size_t head_dim_;
  Rotation rotation_;
  std::span<float> key_;
};

}  // namespace

KvSlots::Run KvSlots::run(std::int64_t slot, std::int64_t end) const {
  const std::int64_t index = slot / cache_.block_size;
  QUERN_CHECK(slot >= 0 && index < cache_.max_blocks_per_seq, "slot {}", slot);
  const std::int64_t block = blocks_[index];
  QUERN_CHECK(block >= 0 && block < cache_.num_blocks, "block {} of {}", block, cache_.num_blocks);
  const int first = static_cast<int>(slot % cache_.block_size);
  const std::int64_t count = std::min<std::int64_t>(end - slot, cache_.block_size - first);
  return {block, first, count};
}

CachedVectors KvSlots::keys(std::int64_t slot, std::int64_t end) const {
  const Run found = run(slot, end);
  return {vectors(cache_.key(layer_, found.block, kv_head_, found.first), cache_.format.keys,
                  found.count),
          cache_.key_scale(layer_, found.block, kv_head_, found.first)};
}

CachedVectors KvSlots::values(std::int64_t slot, std::int64_t end) const {
  const Run found = run(slot, end);
  return {vectors(cache_.value(layer_, found.block, kv_head_, found.first), cache_.format.values,
                  found.count),
          cache_.value_scale(layer_, found.block, kv_head_, found.first)};
}

Tensor prepare_vectors(const CachedVectors& vectors, std::int64_t rows, float* scratch) {
  const Tensor& stored = vectors.stored;
  if (vectors.scales == nullptr) return prepare_right_side(stored, rows, scratch);
  const Tensor numbers = float_view(scratch, stored.rows, stored.cols);
  for (std::int64_t row = 0; row < stored.rows; ++row) {
    dequantize_kv_vector(stored.dtype, element(stored, row, 0), vectors.scales[row],
                         float_row(numbers, row));
  }
  return numbers;
}

void append_tokens(const Attention& op, const Step& step, const AttentionScratch& scratch,
                   ThreadPool& pool) {
  if (op.rope) compute_frequencies(*op.rope, step, scratch.inv_freq);
  const Tensor& qkv = step.value(op.qkv);
  const Tensor& out = step.value(op.out);
  const int num_tokens = step.batch.num_tokens;
  constexpr std::int64_t kElementCost = 8;  // conversions, norm and rotation, in multiply-adds
  parallel_for(pool, num_tokens * qkv.cols * kElementCost, num_tokens,
               [&](std::int64_t row, int thread) {
                 const int seq = sequence_of_row(step.batch, row);
                 if (step.is_running(seq)) {
                   TokenAppender(op, step, scratch, thread).append(seq, row);
                 } else {
                   std::memset(element(out, row, 0), 0,
                               static_cast<std::size_t>(out.cols) * dtype_bytes(out.dtype));
                 }
               });
}

}  // namespace quern::cpu
