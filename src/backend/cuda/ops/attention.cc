#include "backend/cuda/ops/ops.h"
#include "backend/cuda/ops/rope_tables.h"
#include "base/check.h"
#include "graph/rope.h"
#include "kernels/attention/attention_append.h"
#include "kernels/attention/attention_reference.h"
#include "kernels/attention/decode/attention_decode.h"
#include "kernels/attention/prefill/attention_prefill.h"
#include "kernels/attention/prefill/attention_prefill_sm90.h"

namespace quern::cuda {
namespace {

/// The sizes that determine an attention's scratch.
struct AttentionSizes {
  std::int64_t num_tokens = 0;
  std::int64_t num_seqs = 0;
  std::int64_t max_slots = 0;  ///< of one sequence
};

struct AttentionScratch {
  std::byte* queries = nullptr;  ///< [num_tokens, num_heads · head_dim] T
  float* sums = nullptr;         ///< of the KV splits; see AttentionDecodeParams
  float2* states = nullptr;
  std::uint32_t* next_item = nullptr;  ///< see AttentionPrefillSm90Params
};

AttentionScratch take_attention_scratch(Workspace& workspace, const Attention& op, DType dtype,
                                        const AttentionSizes& sizes) {
  const std::int64_t row_bytes =
      std::int64_t{op.num_heads} * op.head_dim * static_cast<std::int64_t>(dtype_bytes(dtype));
  AttentionScratch scratch;
  scratch.queries = workspace.take<std::byte>(sizes.num_tokens * row_bytes);
  if (kernels::attention_decode_supports(dtype, op.head_dim)) {
    const std::int64_t splits =
        sizes.num_seqs * op.num_heads * kernels::decode_splits(sizes.max_slots);
    scratch.sums = workspace.take<float>(splits * op.head_dim);
    scratch.states = workspace.take<float2>(splits);
    scratch.next_item = workspace.take<std::uint32_t>(1);
  }
  return scratch;
}

/// Limits of the kernels' arrays and index types. `layer_rows`: slots · kv heads of the cache.
void check_sizes(const Attention& op, std::int64_t layer_rows) {
  const auto require = [](const char* name, std::int64_t value, std::int64_t most) {
    if (value <= most) return;
    fail(ErrorCode::unsupported, "{}: expected at most {} on CUDA, got {}", name, most, value);
  };
  require("head_dim", op.head_dim, kernels::kMaxReferenceHeadDim);
  if (op.rope) require("rotary_dim", op.rope->rotary_dim, std::int64_t{2} * kernels::kMaxRopePairs);
  require("KV cache: slots · kv heads", layer_rows, INT32_MAX);
}

kernels::RopeParams rope_params(const Rope& rope, RopeTables& tables) {
  kernels::RopeParams params;
  params.num_pairs = rope.rotary_dim / 2;
  params.attention_factor = static_cast<float>(rope.attention_factor);
  params.grows = has_alpha(rope.type);
  params.follows_length = alpha_follows_length(rope.type);
  params.selects_long = rope.type == RopeType::longrope;
  params.original_max_position = rope.original_max_position;
  params.factor = static_cast<float>(rope.factor);
  params.theta = rope.theta;
  params.inv_freq = tables.find(rope);
  return params;
}

const float* norm_weight(const Step& step, const std::optional<WeightId>& id) {
  return id ? step.weight(*id).values.row<float>(0) : nullptr;
}

kernels::AttentionParams attention_params(const Attention& op, const Step& step,
                                          const OpContext& context) {
  const KvCacheView& cache = step.kv_cache;
  const Tensor& qkv = step.value(op.qkv);
  const Tensor& out = step.value(op.out);
  check_kv_format(cache.format, step.activation_dtype);
  QUERN_CHECK(qkv.dtype == step.activation_dtype && out.dtype == step.activation_dtype);
  QUERN_CHECK(cache.head_dim == op.head_dim && cache.num_kv_heads == op.num_kv_heads);
  QUERN_CHECK(qkv.row_stride == qkv.cols && out.row_stride == out.cols);
  // The kernels take the maximum of products for that of scores.
  QUERN_CHECK(op.scale > 0.0f, "scale is {}", op.scale);
  const std::int64_t layer_rows = cache.num_blocks * cache.num_kv_heads * cache.block_size;
  check_sizes(op, layer_rows);

  kernels::AttentionParams params;
  params.use_pdl = context.use_pdl;
  params.dtype = step.activation_dtype;
  params.qkv = qkv.data;
  params.out = out.data;
  params.keys = cache.key(op.layer, 0, 0, 0);
  params.values = cache.value(op.layer, 0, 0, 0);
  params.key_scales = cache.key_scale(op.layer, 0, 0, 0);
  params.value_scales = cache.value_scale(op.layer, 0, 0, 0);
  params.scaled_dtype = cache.format.values;
  params.num_heads = op.num_heads;
  params.num_cache_rows = static_cast<int>(layer_rows);
  params.num_kv_heads = op.num_kv_heads;
  params.head_dim = op.head_dim;
  params.block_size = cache.block_size;
  params.max_blocks_per_seq = cache.max_blocks_per_seq;
  params.block_table = cache.block_table;

  params.q_norm = norm_weight(step, op.q_norm);
  params.k_norm = norm_weight(step, op.k_norm);
  params.norm_epsilon = op.norm_epsilon;
  params.scale = op.scale;
  params.softcap = op.softcap;
  params.window = op.window;
  params.logn_length = op.logn_length;
  if (op.rope) params.rope = rope_params(*op.rope, *context.rope_tables);

  const BatchView& batch = step.batch;
  params.num_seqs = batch.num_seqs;
  params.num_decode_seqs = batch.num_decode_seqs;
  params.num_tokens = batch.num_tokens;
  params.state_index = batch.state_index;
  params.cu_seqlens_q = batch.cu_seqlens_q;
  params.kv_lens = batch.kv_lens;
  params.positions = batch.positions;
  params.finished = step.state.finished;
  params.state_kv_len = step.state.kv_len;
  params.state_position = step.state.position;
  params.rope_alpha = step.state.rope_alpha;
  return params;
}

std::int64_t slots_of_block_table(const KvCacheView& cache) {
  return std::int64_t{cache.max_blocks_per_seq} * cache.block_size;
}

AttentionScratch scratch_of(const Attention& op, const Step& step,
                            const kernels::AttentionParams& params) {
  Workspace workspace(step.workspace);
  return take_attention_scratch(
      workspace, op, params.dtype,
      {params.num_tokens, params.num_decode_seqs, slots_of_block_table(step.kv_cache)});
}

kernels::AttentionDecodeParams decode_params(const kernels::AttentionParams& params,
                                             const AttentionScratch& scratch, const Step& step,
                                             const OpContext& context) {
  kernels::AttentionDecodeParams decode;
  decode.attention = params;
  decode.max_splits = kernels::decode_splits(slots_of_block_table(step.kv_cache));
  decode.max_slots = step.batch.max_kv_len;
  decode.num_multiprocessors = context.num_multiprocessors;
  decode.sums = scratch.sums;
  decode.states = scratch.states;
  decode.counters =
      context.take_counters(std::int64_t{params.num_decode_seqs} *
                            kernels::decode_counters(params.num_heads, params.num_kv_heads));
  return decode;
}

}  // namespace

void check_attention(const Attention& op, const Graph& graph, const Limits& limits,
                     const OpContext& context) {
  check_sizes(op, limits.num_blocks * op.num_kv_heads * limits.block_size);
  if (!kernels::attention_decode_supports(graph.value(op.qkv).dtype, op.head_dim)) return;
  context.check_counters(std::int64_t{limits.max_seqs} *
                         kernels::decode_counters(op.num_heads, op.num_kv_heads));
  // Prefill tiles, of 64 rows or more, are the grid's second dimension.
  constexpr std::int64_t kFewestTileRows = 64;
  constexpr std::int64_t kMaxGridRows = 65535;
  const std::int64_t rows =
      std::int64_t{limits.max_tokens_per_step} * op.num_heads / op.num_kv_heads;
  if (rows / kFewestTileRows + limits.max_seqs > kMaxGridRows) {
    fail(ErrorCode::unsupported,
         "max_tokens_per_step: expected at most {} on CUDA with {} heads, {} kv heads and max_seqs "
         "{}, got {}",
         (kMaxGridRows - limits.max_seqs) * kFewestTileRows * op.num_kv_heads / op.num_heads,
         op.num_heads, op.num_kv_heads, limits.max_seqs, limits.max_tokens_per_step);
  }
}

std::optional<kernels::AttentionDecodeParams> decode_of(const Attention& op, const Step& step,
                                                        const OpContext& context) {
  const BatchView& batch = step.batch;
  if (batch.num_tokens == 0 || batch.num_decode_seqs != batch.num_tokens ||
      !kernels::attention_decode_supports(step.activation_dtype, op.head_dim)) {
    return std::nullopt;
  }
  const kernels::AttentionParams params = attention_params(op, step, context);
  return decode_params(params, scratch_of(op, step, params), step, context);
}

// Decode sequences take one launch, which also appends; prefill sequences two. Dtypes and head
// sizes that tensor cores do not support take two for all sequences together.
void run_attention(const Attention& op, const Step& step, const OpContext& context) {
  if (step.batch.num_tokens == 0) return;
  kernels::AttentionParams params = attention_params(op, step, context);
  const AttentionScratch scratch = scratch_of(op, step, params);
  params.queries = scratch.queries;

  if (!kernels::attention_decode_supports(params.dtype, params.head_dim)) {
    kernels::attention_append({.attention = params, .first_seq = 0}, context.stream);
    kernels::attention_reference(params, context.stream);
    return;
  }
  if (params.num_decode_seqs > 0) {
    kernels::attention_decode(decode_params(params, scratch, step, context), context.stream);
  }
  if (params.num_tokens > params.num_decode_seqs) {
    const bool on_sm90 = context.sm90_attention && kernels::attention_prefill_sm90_supports(params);
    kernels::attention_append({.attention = params,
                               .first_seq = params.num_decode_seqs,
                               .counter = on_sm90 ? scratch.next_item : nullptr},
                              context.stream);
    if (on_sm90) {
      kernels::attention_prefill_sm90({.attention = params,
                                       .max_kv_len = step.batch.max_kv_len,
                                       .num_multiprocessors = context.num_multiprocessors,
                                       .next_item = scratch.next_item},
                                      context.stream);
    } else {
      kernels::attention_prefill(params, context.stream);
    }
  }
}

std::size_t attention_workspace_bytes(const Attention& op, const Graph& graph,
                                      const Limits& limits) {
  Workspace workspace;
  take_attention_scratch(workspace, op, graph.value(op.qkv).dtype,
                         {limits.max_tokens_per_step, limits.max_seqs,
                          std::int64_t{limits.max_blocks_per_seq()} * limits.block_size});
  return workspace.used_bytes();
}

}  // namespace quern::cuda
