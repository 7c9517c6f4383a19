#include "compare/bound_finder.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <variant>

#include "base/half.h"
#include "graph/rope.h"
#include "runtime/schedule/sequence.h"

namespace quern {
namespace {

int kv_len_after(const ScheduledRun& run) {
  return run.decode ? run.sequence->prompt_len() + run.sequence->launched : run.begin + run.q_len;
}

/// Copies the slots of a block, [kv_head][slot][head_dim], to rows with all heads.
void append_slots(const KvCacheView& cache, std::span<const float> block, int num_slots,
                  std::vector<float>& rows) {
  for (int slot = 0; slot < num_slots; ++slot) {
    for (int head = 0; head < cache.num_kv_heads; ++head) {
      const auto begin =
          block.begin() + (std::ptrdiff_t{head} * cache.block_size + slot) * cache.head_dim;
      rows.insert(rows.end(), begin, begin + cache.head_dim);
    }
  }
}

/// Whether every backend multiplies integers of whole rows, and so rounds no weight.
bool is_product_of_integers(const WeightFormat& format, std::int64_t in_features) {
  return format.stored == DType::uint8 && format.group_size == 0 &&
         format.activation.group_size == 0 && multiplies_integers(format, in_features);
}

/// Whether a backend may multiply float8 numbers, see bounds.h.
bool is_product_of_float8(const WeightFormat& format, DType activation) {
  return format.stored == DType::float8_e4m3 && format.group_size == 0 &&
         format.activation == ActivationFormat{ActivationRounding::float8_e4m3} &&
         activation != DType::float32;
}

}  // namespace

std::vector<BoundedSequence> read_sequences(ComparedSide& side, const ScheduledStep& step,
                                            int layer) {
  const KvCacheView& cache = side.step().kv_cache;
  const std::int64_t cols = std::int64_t{cache.num_kv_heads} * cache.head_dim;
  std::vector<BoundedSequence> sequences;
  std::int64_t first_row = 0;
  for (const ScheduledRun& run : step.runs) {
    BoundedSequence sequence{first_row, run.q_len, {{}, cols}, {{}, cols}};
    first_row += run.q_len;
    int left = kv_len_after(run);
    for (auto block = run.sequence->blocks.begin(); left > 0; ++block) {
      const std::vector<float> content = side.read_block(layer, *block);
      const int num_slots = std::min(left, cache.block_size);
      const std::span both(content);
      append_slots(cache, both.first(content.size() / 2), num_slots, sequence.keys.values);
      append_slots(cache, both.subspan(content.size() / 2), num_slots, sequence.values.values);
      left -= num_slots;
    }
    sequences.push_back(std::move(sequence));
  }
  return sequences;
}

ErrorBounds BoundFinder::of(const Node& node, const ScheduledStep& step) {
  return std::visit([&](const auto& op) { return find(op, step); }, node.op);
}

ErrorBounds BoundFinder::find(const Linear& op, const ScheduledStep&) {
  return linear_bounds(reference_.read(op.in), lengths_of(op.weight), reference_.read(op.out));
}

ErrorBounds BoundFinder::find(const NormLinear& op, const ScheduledStep& step) {
  const HostRows sum = normed_rows(op, step);
  const bool hidden = op.gated || op.activation != Activation::none;
  const HostRows linear = hidden ? run_without_activation(op) : reference_.read(op.out);
  return norm_linear_bounds(
      op, {sum, vector_weight(op.gain), vector_weight(op.norm_bias), lengths_of(op.weight), linear,
           reference_.graph().activation_dtype});
}

std::vector<BoundedSequence> BoundFinder::bounded_sequences(const Attention& op,
                                                            const ScheduledStep& step) {
  auto sequences = read_sequences(reference_, step, op.layer);
  for (std::size_t i = 0; op.rope && i < sequences.size(); ++i) {
    const ScheduledRun& run = step.runs[i];
    double alpha = rope_alpha(*op.rope, run.sequence->prompt_len());
    if (alpha_follows_length(op.rope->type)) {
      alpha = std::max(alpha, rope_alpha(*op.rope, kv_len_after(run)));
    }
    sequences[i].inv_freq = rope_inv_freq(*op.rope, alpha);
  }
  return sequences;
}

ErrorBounds BoundFinder::of_appended_keys(const Attention& op, const ScheduledStep& step,
                                          const HostRows& keys) {
  const DType stored = reference_.step().kv_cache.format.keys;
  if (!is_scaled(stored)) return appended_key_bounds(op, keys);
  const auto sequences = bounded_sequences(op, step);
  const HostRows qkv = reference_.read(op.qkv);
  return scaled_key_bounds(
      op, {qkv, vector_weight(op.q_norm), vector_weight(op.k_norm), sequences, keys,
           reference_.graph().activation_dtype, reference_.step().kv_cache.format});
}

ErrorBounds BoundFinder::find(const Attention& op, const ScheduledStep& step) {
  const auto sequences = bounded_sequences(op, step);
  const HostRows qkv = reference_.read(op.qkv);
  const HostRows out = reference_.read(op.out);
  return attention_bounds(op,
                          {qkv, vector_weight(op.q_norm), vector_weight(op.k_norm), sequences, out,
                           reference_.graph().activation_dtype, reference_.step().kv_cache.format});
}

const MatrixLengths& BoundFinder::lengths_of(WeightId id) {
  auto [entry, is_new] = lengths_.try_emplace(id);
  if (!is_new) return entry->second;
  constexpr std::int64_t kRowsAtATime = 256;  // a weight may be larger than the free memory
  const std::int64_t num_rows = reference_.graph().weight(id).out_features;
  for (std::int64_t first = 0; first < num_rows; first += kRowsAtATime) {
    entry->second.add_rows(
        reference_.read_weight(id, first, std::min(kRowsAtATime, num_rows - first)));
  }
  const WeightFormat& format = reference_.graph().weight(id).format;
  entry->second.inputs = format.activation;
  entry->second.sums_float8 = is_product_of_float8(format, reference_.graph().activation_dtype);
  if (format.is_quantized() &&
      !is_product_of_integers(format, reference_.graph().weight(id).in_features)) {
    const DType dtype = reference_.graph().activation_dtype;
    entry->second.rounding = dtype == DType::float16    ? 0x1p-11
                             : dtype == DType::bfloat16 ? 0x1p-8
                                                        : 0.0;
    // scale · value of an input's group may be rounded as well.
    if (format.activation.group_size != 0) entry->second.rounding *= 2.0;
  }
  return entry->second;
}

std::span<const float> BoundFinder::vector_weight(const std::optional<WeightId>& id) {
  if (!id) return {};
  auto [entry, is_new] = vectors_.try_emplace(*id);
  if (is_new) entry->second = reference_.read_weight(*id, 0, 1).values;
  return entry->second;
}

HostRows BoundFinder::normed_rows(const NormLinear& op, const ScheduledStep& step) {
  HostRows sum = reference_.read(op.residual);
  if (op.delta) {
    const HostRows delta = reference_.read(*op.delta);
    std::transform(sum.values.begin(), sum.values.end(), delta.values.begin(), sum.values.begin(),
                   std::plus<>());
  }
  if (op.in_rows == op.out_rows) return sum;
  HostRows chosen{{}, sum.cols};
  std::int64_t end_row = 0;
  for (const ScheduledRun& run : step.runs) {
    end_row += run.q_len;
    if (!run.samples) continue;
    const auto row = sum.row(end_row - 1);
    chosen.values.insert(chosen.values.end(), row.begin(), row.end());
  }
  return chosen;
}

HostRows BoundFinder::run_without_activation(const NormLinear& op) {
  Backend& backend = reference_.backend();
  const Step& step = reference_.step();
  NormLinear plain = op;
  plain.activation = Activation::none;
  plain.gated = false;
  plain.residual_out.reset();

  // Its output is an extra value of a copy of the graph.
  Graph graph = reference_.graph();
  plain.out = static_cast<ValueId>(graph.values.size());
  Value value = graph.value(op.out);
  value.cols = graph.weight(op.weight).out_features;
  graph.values.push_back(value);
  Tensor out = step.value(op.out);
  out.cols = out.row_stride = value.cols;
  const auto grow = [&](Buffer& buffer, std::size_t size_bytes, const char* what) {
    if (buffer.size_bytes() < size_bytes) buffer = backend.allocate(size_bytes, what);
  };
  grow(scratch_, static_cast<std::size_t>(out.rows * out.cols) * dtype_bytes(out.dtype),
       "comparison");
  grow(workspace_, backend.workspace_bytes(plain, graph, reference_.plan().limits),
       "comparison workspace");
  out.data = scratch_.data();

  std::vector<Tensor> values(step.values.begin(), step.values.end());
  values.push_back(out);
  Step changed = step;
  changed.values = values;
  changed.workspace = workspace_.bytes();
  backend.run(plain, changed);

  std::vector<std::byte> bytes(static_cast<std::size_t>(reference_.num_rows(op.out) * out.cols) *
                               dtype_bytes(out.dtype));
  backend.copy_out(bytes.data(), out.data, bytes.size());
  HostRows rows{std::vector<float>(bytes.size() / dtype_bytes(out.dtype)), out.cols};
  load_floats(out.dtype, bytes.data(), rows.values);
  return rows;
}

}  // namespace quern
