#include <algorithm>
#include <cmath>
#include <functional>

#include "backend/cpu/attention/attention_scratch.h"
#include "backend/cpu/gemm/gemm.h"
#include "backend/cpu/gemm/vector_kernels.h"
#include "backend/cpu/ops/norm.h"
#include "backend/cpu/ops/ops.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/views.h"
#include "base/check.h"
#include "base/half.h"

namespace quern::cpu {
namespace {

/// A tile: consecutive new tokens of one sequence under the query heads of one kv head.
struct Tile {
  int seq = 0;
  int kv_head = 0;
  int first_token = 0;  ///< within the sequence's new tokens
  int num_tokens = 0;
};

/// Counts the tiles of each sequence; finished ones have none.
std::int64_t count_tiles(const Attention& op, const Step& step, std::int32_t* tile_ends) {
  std::int32_t end = 0;
  for (int seq = 0; seq < step.batch.num_seqs; ++seq) {
    if (step.is_running(seq)) end += ceil_div(step.q_len(seq), tile_tokens(op)) * op.num_kv_heads;
    tile_ends[seq] = end;
  }
  return end;
}

Tile find_tile(const Attention& op, const Step& step, const std::int32_t* tile_ends,
               std::int64_t index) {
  const std::int32_t* end = tile_ends + step.batch.num_seqs;
  Tile tile;
  tile.seq = static_cast<int>(std::upper_bound(tile_ends, end, index) - tile_ends);
  const auto within = static_cast<int>(index - (tile.seq == 0 ? 0 : tile_ends[tile.seq - 1]));
  tile.kv_head = within % op.num_kv_heads;
  tile.first_token = within / op.num_kv_heads * tile_tokens(op);
  tile.num_tokens = std::min(tile_tokens(op), step.q_len(tile.seq) - tile.first_token);
  return tile;
}

/// Maximum number of slots that are widened and multiplied at a time.
constexpr std::int64_t kMaxRunSlots = 256;

/// Slots of a section. Sums over a cache with scales have two levels: within sections, which begin
/// at multiples of their size, and over sections.
constexpr std::int64_t kSectionSlots = 256;
static_assert(kMaxRunSlots >= kSectionSlots);

/// Runs end at the ends of sections.
std::int64_t run_end(std::int64_t slot, std::int64_t end) {
  return std::min(end, (slot / kSectionSlots + 1) * kSectionSlots);
}

/// A range of slots.
struct SlotRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

/// Attention over the cache for one tile.
class TileAttention {
 public:
  TileAttention(const Attention& op, const Step& step, const AttentionScratch& scratch,
                const Tile& tile, int thread)
      : op_(op),
        step_(step),
        tile_(tile),
        slots_(step.kv_cache, op.layer, tile.kv_head, step.batch.state_index[tile.seq]),
        first_slot_(step.kv_len(tile.seq) - step.q_len(tile.seq) + tile.first_token),
        row_(step.batch.cu_seqlens_q[tile.seq] + tile.first_token),
        all_{slots_of(0).begin, slots_of(tile.num_tokens - 1).end},
        widened_(scratch.widened + thread * scratch.widened_stride),
        denominators_(scratch.denominators + thread * scratch.denominators_stride) {
    const int group = group_size(op);
    const std::int64_t rows = std::int64_t{tile.num_tokens} * group;
    const std::int64_t group_row = tile.kv_head * std::int64_t{step.batch.num_tokens} + row_;
    queries_ = float_view(scratch.queries + group_row * group * op.head_dim, rows, op.head_dim);
    scores_ =
        float_view(scratch.scores + thread * scratch.scores_stride, rows, all_.end - all_.begin);
    sums_ = float_view(scratch.sums + thread * scratch.sums_stride, rows, op.head_dim);
    partial_sums_ =
        float_view(scratch.partial_sums + thread * scratch.sums_stride, rows, op.head_dim);
  }

  void run() {
    compute_scores();
    for (int token = 0; token < tile_.num_tokens; ++token) {
      for (int head = 0; head < group_size(op_); ++head) {
        weigh_row(std::int64_t{token} * group_size(op_) + head, slots_of(token));
      }
    }
    sum_values();
    store();
  }

 private:
  /// The slots that a token of the tile attends to.
  SlotRange slots_of(int token) const {
    const std::int64_t own = first_slot_ + token;
    return {op_.window > 0 ? std::max<std::int64_t>(0, own - op_.window + 1) : 0, own + 1};
  }

  void compute_scores() {
    for (std::int64_t slot = all_.begin; slot < all_.end;) {
      const Tensor keys =
          prepare_vectors(slots_.keys(slot, run_end(slot, all_.end)), queries_.rows, widened_);
      Tensor out = scores_;
      out.data = element(scores_, 0, slot - all_.begin);
      out.cols = keys.rows;
      multiply_transposed(queries_, keys, out);
      slot += keys.rows;
    }
  }

  /// Softmax without the normalization: turns a row's scores into weights, summed, then rounded.
  void weigh_row(std::int64_t row, const SlotRange& range) {
    const std::span<float> scores = float_row(scores_, row)
                                        .subspan(static_cast<std::size_t>(range.begin - all_.begin),
                                                 static_cast<std::size_t>(range.end - range.begin));
    for (float& score : scores) score *= op_.scale;
    if (op_.softcap > 0.0f) {
      for (float& score : scores) score = op_.softcap * std::tanh(score / op_.softcap);
    }
    denominators_[row] = vector_kernels().softmax_numerators(scores);
    round_floats(step_.activation_dtype, scores);
  }

  void sum_values() {
    std::fill_n(sums_.row<float>(0), sums_.rows * sums_.cols, 0.0f);
    if (has_sections()) std::fill_n(partial_sums_.row<float>(0), sums_.rows * sums_.cols, 0.0f);
    // All tokens attend to the slots in the middle; the ragged ends are added token by token, so
    // that masked slots do not enter the sums (0 · infinity is NaN). Each token's slots are added
    // in order, so its sums do not depend on the tile.
    SlotRange common = {slots_of(tile_.num_tokens - 1).begin, slots_of(0).end};
    if (common.begin > common.end) common = {all_.end, all_.end};
    for (int token = 0; token < tile_.num_tokens; ++token) {
      const SlotRange own = slots_of(token);
      add_values({own.begin, std::min(common.begin, own.end)}, token, 1);
    }
    add_values(common, 0, tile_.num_tokens);
    for (int token = 0; token < tile_.num_tokens; ++token) {
      add_values({common.end, slots_of(token).end}, token, 1);
    }
    if (has_sections()) end_section(0, sums_.rows);
  }

  bool has_sections() const { return step_.kv_cache.format.scales != KvScales::none; }

  /// Adds the section's sums of a range of rows to theirs.
  void end_section(std::int64_t first_row, std::int64_t rows) {
    for (std::int64_t row = first_row; row < first_row + rows; ++row) {
      const std::span<float> partial = float_row(partial_sums_, row);
      std::transform(partial.begin(), partial.end(), float_row(sums_, row).begin(),
                     float_row(sums_, row).begin(), std::plus<>());
      std::fill(partial.begin(), partial.end(), 0.0f);
    }
  }

  /// Adds weights times values over a range of slots for a range of the tile's tokens.
  void add_values(const SlotRange& range, int first_token, int num_tokens) {
    const std::int64_t first_row = std::int64_t{first_token} * group_size(op_);
    const std::int64_t rows = std::int64_t{num_tokens} * group_size(op_);
    for (std::int64_t slot = range.begin; slot < range.end;) {
      const Tensor values =
          prepare_vectors(slots_.values(slot, run_end(slot, range.end)), rows, widened_);
      Tensor weights = row_slice(scores_, first_row, rows);
      weights.data = element(weights, 0, slot - all_.begin);
      weights.cols = values.rows;
      const Tensor& sums = has_sections() ? partial_sums_ : sums_;
      multiply_accumulate(weights, values, row_slice(sums, first_row, rows));
      slot += values.rows;
      if (has_sections() && slot % kSectionSlots == 0) end_section(first_row, rows);
    }
  }

  void store() const {
    const Tensor& out = step_.value(op_.out);
    for (std::int64_t row = 0; row < sums_.rows; ++row) {
      const std::span<float> sums = float_row(sums_, row);
      for (float& sum : sums) sum /= denominators_[row];
      const std::int64_t head =
          std::int64_t{tile_.kv_head} * group_size(op_) + row % group_size(op_);
      store_floats(out.dtype, sums,
                   element(out, row_ + row / group_size(op_), head * op_.head_dim));
    }
  }

  const Attention& op_;
  const Step& step_;
  const Tile& tile_;
  KvSlots slots_;
  std::int64_t first_slot_;  ///< of the tile's first token
  std::int64_t row_;         ///< its token row
  SlotRange all_;            ///< union of the slots that the tile's tokens attend to
  float* widened_;
  float* denominators_;
  Tensor queries_;
  Tensor scores_;
  Tensor sums_;
  Tensor partial_sums_;  ///< of the current section
};

/// q_len of the longest running sequence. The batch's bound may be older than a recorded step.
std::int64_t longest_kv_len(const Step& step) {
  std::int64_t longest = 0;
  for (int seq = 0; seq < step.batch.num_seqs; ++seq) {
    if (step.is_running(seq)) longest = std::max<std::int64_t>(longest, step.kv_len(seq));
  }
  return longest;
}

}  // namespace

AttentionScratch take_attention_scratch(Workspace& workspace, const Attention& op,
                                        const AttentionSizes& sizes, int threads) {
  const std::int64_t half = op.rope ? op.rope->rotary_dim / 2 : 0;
  const std::int64_t rows = std::int64_t{tile_tokens(op)} * group_size(op);
  AttentionScratch scratch;
  scratch.head_stride = 2 * half + op.head_dim;
  scratch.widened_stride = std::min(sizes.block_size, kMaxRunSlots) * op.head_dim;
  scratch.scores_stride = rows * sizes.max_kv_len;
  scratch.sums_stride = rows * op.head_dim;
  scratch.denominators_stride = rows;
  scratch.queries = workspace.take<float>(sizes.num_tokens * op.num_heads * op.head_dim);
  scratch.inv_freq = workspace.take<float>(sizes.num_seqs * half);
  scratch.tile_ends = workspace.take<std::int32_t>(sizes.num_seqs);
  scratch.head = workspace.take<float>(threads * scratch.head_stride);
  scratch.widened = workspace.take<float>(threads * scratch.widened_stride);
  scratch.scores = workspace.take<float>(threads * scratch.scores_stride);
  scratch.sums = workspace.take<float>(threads * scratch.sums_stride);
  scratch.partial_sums = workspace.take<float>(threads * scratch.sums_stride);
  scratch.denominators = workspace.take<float>(threads * scratch.denominators_stride);
  return scratch;
}

void run_attention(const Attention& op, const Step& step, ThreadPool& pool) {
  const KvCacheView& cache = step.kv_cache;
  check_kv_format(cache.format, step.activation_dtype);
  QUERN_CHECK(step.value(op.qkv).dtype == step.activation_dtype && cache.head_dim == op.head_dim &&
              cache.num_kv_heads == op.num_kv_heads);
  const std::int64_t max_kv_len = longest_kv_len(step);
  Workspace workspace(step.workspace);
  const AttentionScratch scratch = take_attention_scratch(
      workspace, op, {step.batch.num_tokens, step.batch.num_seqs, max_kv_len, cache.block_size},
      pool.num_threads());

  append_tokens(op, step, scratch, pool);
  const std::int64_t num_tiles = count_tiles(op, step, scratch.tile_ends);
  const std::int64_t work = step.batch.num_tokens * max_kv_len * op.num_heads * op.head_dim;
  parallel_for(pool, work, num_tiles, [&](std::int64_t index, int thread) {
    const Tile tile = find_tile(op, step, scratch.tile_ends, index);
    TileAttention(op, step, scratch, tile, thread).run();
  });
}

std::size_t attention_workspace_bytes(const Attention& op, const Limits& limits, int threads) {
  Workspace workspace;
  take_attention_scratch(
      workspace, op,
      {limits.max_tokens_per_step, limits.max_seqs, limits.max_seq_len, limits.block_size},
      threads);
  return workspace.used_bytes();
}

}  // namespace quern::cpu
