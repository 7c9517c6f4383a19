#include "tests/backend/conformance/step_harness.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>
#include <variant>

#include "base/half.h"
#include "base/memory/shape.h"
#include "graph/kv_vector.h"
#include "tests/backend/conformance/weight_source.h"

namespace quern::testing {
namespace {

constexpr int kRingCapacity = 3;

}  // namespace

std::vector<float> random_floats(std::int64_t count, std::uint32_t seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = normal(engine);
  return values;
}

std::vector<float> rounded(DType dtype, std::vector<float> values) {
  for (float& value : values) value = round_to(dtype, value);
  return values;
}

StepHarness::StepHarness(Backend& backend, DType dtype, std::vector<SequenceSpec> seqs,
                         int block_size)
    : backend_(backend), dtype_(dtype), seqs_(std::move(seqs)) {
  graph_.activation_dtype = dtype;
  limits_.block_size = block_size;
  limits_.max_seqs = static_cast<int>(seqs_.size());
  add_batch();
  add_state();
  step_.activation_dtype = dtype;
  step_.kv_cache.format = unscaled_kv_format(dtype);
}

void StepHarness::add_batch() {
  BatchView& batch = step_.batch;
  std::vector<std::int32_t> state_index, token_ids, positions, cu_seqlens_q = {0}, kv_lens;
  std::vector<std::int32_t> logit_seqs;
  batch.num_seqs = static_cast<int>(seqs_.size());
  for (int seq = 0; seq < batch.num_seqs; ++seq) {
    const SequenceSpec& spec = seqs_[static_cast<std::size_t>(seq)];
    first_rows_.push_back(cu_seqlens_q.back());
    state_index.push_back(state_row(seq));
    for (int i = 0; i < spec.q_len; ++i) {
      // Decode rows take theirs from the state: these must not be used.
      token_ids.push_back(spec.decode ? -1 : (7 * seq + 3 * i) % 11);
      positions.push_back(spec.decode ? -1 : spec.past + i);
    }
    cu_seqlens_q.push_back(cu_seqlens_q.back() + spec.q_len);
    kv_lens.push_back(spec.decode ? -1 : spec.past + spec.q_len);
    batch.num_decode_seqs += spec.decode ? 1 : 0;
    batch.max_q_len = std::max(batch.max_q_len, spec.q_len);
    batch.max_kv_len = std::max(batch.max_kv_len, spec.past + spec.q_len);
    if (spec.wants_logits && spec.q_len > 0) {
      logit_rows_.push_back(cu_seqlens_q.back() - 1);
      logit_seqs.push_back(seq);
    }
  }
  batch.num_tokens = cu_seqlens_q.back();
  batch.num_logit_rows = static_cast<int>(logit_rows_.size());
  batch.state_index = upload(state_index);
  batch.token_ids = upload(token_ids);
  batch.positions = upload(positions);
  batch.cu_seqlens_q = upload(cu_seqlens_q);
  batch.kv_lens = upload(kv_lens);
  batch.logit_rows = upload(logit_rows_);
  batch.logit_seqs = upload(logit_seqs);
  limits_.max_tokens_per_step = batch.num_tokens;
  limits_.max_logit_rows = batch.num_logit_rows;
  limits_.max_seq_len = batch.max_kv_len + 4;
}

void StepHarness::add_state() {
  const auto rows = seqs_.size();
  std::vector<std::int32_t> past(rows), finished(rows);
  std::vector<float> rope_alpha(rows);
  for (int seq = 0; seq < num_seqs(); ++seq) {
    const auto row = static_cast<std::size_t>(state_row(seq));
    past[row] = spec(seq).past;
    finished[row] = static_cast<std::int32_t>(spec(seq).status);
    rope_alpha[row] = spec(seq).rope_alpha;
  }
  SequenceState& state = step_.state;
  state.last_token = upload(std::vector<std::int32_t>(rows, 5));
  state.position = upload(past);
  state.kv_len = upload(past);
  state.finished = upload(finished);
  state.generated = upload(std::vector<std::int32_t>(rows, 0));
  state.max_tokens = upload(std::vector<std::int32_t>(rows, 1000));
  state.prompt_len = upload(std::vector<std::int32_t>(rows, 0));
  state.rope_alpha = upload(rope_alpha);
  state.mirostat_mu = upload(std::vector<float>(rows, 3.0f));
  state.history_stride = 64;
  state.history = upload(std::vector<std::int32_t>(rows * 64, -7));
  state.num_finished = upload(std::vector<std::int32_t>(1, 0));
  step_.sampling = upload(std::vector<SamplingRow>(rows));

  OutputRing& ring = step_.ring;
  ring.capacity = kRingCapacity;
  ring.max_seqs = num_seqs();
  ring.head = upload(std::vector<std::int64_t>(1, 0));
  ring.published = upload(std::vector<std::int64_t>(1, 0));
  const std::size_t cells = rows * kRingCapacity;
  ring.tokens = upload(std::vector<std::int32_t>(cells, -9));
  ring.logprobs = upload(std::vector<float>(cells, -9.0f));
  ring.top_ids = upload(std::vector<std::int32_t>(cells * kMaxTopLogprobs, -9));
  ring.top_logprobs = upload(std::vector<float>(cells * kMaxTopLogprobs, -9.0f));
}

ValueId StepHarness::add_value(DType dtype, std::int64_t cols, const std::vector<float>& content,
                               Rows kind) {
  const std::int64_t rows = kind == Rows::tokens ? num_tokens() : step_.batch.num_logit_rows;
  buffers_.emplace_back(backend_, static_cast<std::size_t>(rows * cols) * dtype_bytes(dtype));
  if (!content.empty()) {
    std::vector<std::byte> stored(content.size() * dtype_bytes(dtype));
    store_floats(dtype, content, stored.data());
    backend_.copy_in(buffers_.back().data(), stored.data(), stored.size());
  }
  values_.push_back({buffers_.back().data(), rows, cols, cols, dtype, backend_.device()});
  graph_.values.push_back({kind, cols, dtype, "value" + std::to_string(values_.size())});
  return static_cast<ValueId>(values_.size() - 1);
}

WeightId StepHarness::add_weight(WeightUse use, DType stored, std::int64_t rows, std::int64_t cols,
                                 const std::vector<float>& content) {
  return add_weight(source_of(use, stored, rows, cols, content));
}

WeightId StepHarness::add_weight(const WeightSource& source) {
  WeightSpec spec{"weight" + std::to_string(weights_.size()),
                  source.use,
                  source.shape.out_features,
                  source.shape.in_features,
                  {}};
  spec.format = source.format;
  const WeightLayout layout = backend_.prepare(source.format, source.use);
  buffers_.emplace_back(backend_, storage_bytes(source.format, source.shape, layout));
  weights_.push_back(backend_.upload(source, layout, buffers_.back().data()));
  graph_.weights.push_back(spec);
  return static_cast<WeightId>(weights_.size() - 1);
}

void StepHarness::add_kv_cache(int num_layers, int num_kv_heads, int head_dim,
                               std::optional<KvFormat> format) {
  KvCacheView& cache = step_.kv_cache;
  if (format) cache.format = *format;
  cache.num_layers = num_layers;
  cache.num_kv_heads = num_kv_heads;
  cache.head_dim = head_dim;
  cache.block_size = limits_.block_size;
  cache.max_blocks_per_seq = limits_.max_blocks_per_seq();
  cache.num_blocks = std::int64_t{num_seqs()} * cache.max_blocks_per_seq;
  limits_.num_blocks = cache.num_blocks;

  block_table_.resize(static_cast<std::size_t>(cache.num_blocks));
  for (std::size_t i = 0; i < block_table_.size(); ++i) {
    block_table_[i] = static_cast<std::int32_t>(i);
  }
  std::shuffle(block_table_.begin(), block_table_.end(), std::mt19937(1));
  cache.block_table = upload(block_table_);

  const auto vectors =
      static_cast<std::size_t>(num_layers * cache.num_blocks * num_kv_heads * cache.block_size);
  const auto allocate = [&](DType stored, float*& scales) {
    if (is_scaled(stored)) {
      buffers_.emplace_back(backend_, vectors * sizeof(float));
      scales = reinterpret_cast<float*>(buffers_.back().data());
    }
    const auto elements = vectors * static_cast<std::size_t>(head_dim);
    buffers_.emplace_back(backend_, elements * dtype_bytes(stored));
    return buffers_.back().data();
  };
  cache.keys = allocate(cache.format.keys, cache.key_scales);
  cache.values = allocate(cache.format.values, cache.value_scales);
  std::uint32_t seed = 100;
  struct HostArray {
    std::vector<std::byte> numbers;
    std::vector<float> scales;
  };
  std::array<HostArray, 2> host;
  for (std::size_t i = 0; i < host.size(); ++i) {
    const CacheArray array = cache_arrays()[i];
    const std::size_t vector_bytes = static_cast<std::size_t>(head_dim) * dtype_bytes(array.stored);
    host[i].numbers = read_array(array.data, vectors * vector_bytes);
    if (array.scales != nullptr) host[i].scales = read_array(array.scales, vectors);
  }
  for (int layer = 0; layer < num_layers; ++layer) {
    for (int seq = 0; seq < num_seqs(); ++seq) {
      for (int slot = 0; slot < spec(seq).past * num_kv_heads; ++slot) {
        const auto vector = static_cast<std::size_t>(
            slot_vector(layer, seq, slot % num_kv_heads, slot / num_kv_heads));
        for (std::size_t i = 0; i < host.size(); ++i) {
          const DType stored = cache_arrays()[i].stored;
          const std::size_t vector_bytes = static_cast<std::size_t>(head_dim) * dtype_bytes(stored);
          std::byte* numbers = host[i].numbers.data() + vector * vector_bytes;
          const std::vector<float> content = random_floats(head_dim, ++seed);
          if (is_scaled(stored)) {
            host[i].scales[vector] = quantize_kv_vector(stored, content, numbers);
          } else {
            store_floats(stored, content, numbers);
          }
        }
      }
    }
  }
  for (std::size_t i = 0; i < host.size(); ++i) {
    const CacheArray array = cache_arrays()[i];
    backend_.copy_in(array.data, host[i].numbers.data(), host[i].numbers.size());
    if (array.scales != nullptr) {
      backend_.copy_in(array.scales, host[i].scales.data(), host[i].scales.size() * sizeof(float));
    }
  }
}

std::array<StepHarness::CacheArray, 2> StepHarness::cache_arrays() const {
  const KvCacheView& cache = step_.kv_cache;
  return {{{cache.keys, cache.key_scales, cache.format.keys},
           {cache.values, cache.value_scales, cache.format.values}}};
}

void StepHarness::run(const Op& op) {
  run(op, [&](const Step& step) {
    std::visit([&](const auto& alternative) { backend_.run(alternative, step); }, op);
  });
}

void StepHarness::run(const Op& op, const std::function<void(const Step&)>& launch) {
  step_.values = values_;
  step_.weights = weights_;
  const GuardedBuffer workspace(backend_, backend_.workspace_bytes(op, graph_, limits_));
  step_.workspace = workspace.bytes();
  std::vector<std::vector<std::byte>> inputs;
  for (const ValueId id : op_inputs(op)) {
    inputs.push_back(
        read_array(step_.value(id).data,
                   static_cast<std::size_t>(step_.value(id).rows * step_.value(id).cols) *
                       dtype_bytes(step_.value(id).dtype)));
  }

  launch(step_);

  EXPECT_TRUE(workspace.guards_intact()) << op_name(op) << " left its workspace";
  for (std::size_t i = 0; i < buffers_.size(); ++i) {
    EXPECT_TRUE(buffers_[i].guards_intact()) << op_name(op) << " left buffer " << i;
  }
  std::size_t next = 0;
  for (const ValueId id : op_inputs(op)) {
    EXPECT_TRUE(inputs[next] == read_array(step_.value(id).data, inputs[next].size()))
        << op_name(op) << " changed its input " << next;
    ++next;
  }
}

std::vector<float> StepHarness::read(ValueId id) const {
  const Tensor& tensor = values_[static_cast<std::size_t>(id)];
  const auto count = static_cast<std::size_t>(tensor.rows * tensor.cols);
  const auto bytes = read_array(tensor.data, count * dtype_bytes(tensor.dtype));
  std::vector<float> result(count);
  load_floats(tensor.dtype, bytes.data(), result);
  return result;
}

std::int64_t StepHarness::slot_vector(int layer, int seq, int kv_head, int slot) const {
  const KvCacheView& cache = step_.kv_cache;
  const int entry = state_row(seq) * cache.max_blocks_per_seq + slot / cache.block_size;
  return cache.vector(layer, block_table_[static_cast<std::size_t>(entry)], kv_head,
                      slot % cache.block_size);
}

std::vector<float> StepHarness::read_slot(const CacheArray& array, int layer, int seq, int kv_head,
                                          int slot) const {
  const auto head_dim = static_cast<std::size_t>(step_.kv_cache.head_dim);
  const std::int64_t vector = slot_vector(layer, seq, kv_head, slot);
  const std::size_t size_bytes = head_dim * dtype_bytes(array.stored);
  const auto bytes =
      read_array(array.data + vector * static_cast<std::int64_t>(size_bytes), size_bytes);
  std::vector<float> result(head_dim);
  if (array.scales != nullptr) {
    dequantize_kv_vector(array.stored, bytes.data(), read_array(array.scales + vector, 1)[0],
                         result);
  } else {
    load_floats(array.stored, bytes.data(), result);
  }
  return result;
}

std::vector<float> StepHarness::read_key(int layer, int seq, int kv_head, int slot) const {
  return read_slot(cache_arrays()[0], layer, seq, kv_head, slot);
}

std::vector<float> StepHarness::read_value(int layer, int seq, int kv_head, int slot) const {
  return read_slot(cache_arrays()[1], layer, seq, kv_head, slot);
}

void StepHarness::scale_value(int layer, int seq, int kv_head, int slot, float factor) {
  float* scales = step_.kv_cache.value_scales;
  const std::int64_t vector = slot_vector(layer, seq, kv_head, slot);
  poke(scales, vector, read_array(scales + vector, 1)[0] * factor);
}

void StepHarness::copy_past_from(const StepHarness& other) {
  const KvCacheView& cache = step_.kv_cache;
  for (int slot = 0; slot < spec(0).past; ++slot) {
    for (int kv_head = 0; kv_head < cache.num_kv_heads; ++kv_head) {
      const std::int64_t from = other.slot_vector(0, 0, kv_head, slot);
      const std::int64_t to = slot_vector(0, 0, kv_head, slot);
      for (std::size_t i = 0; i < 2; ++i) {
        const CacheArray source = other.cache_arrays()[i];
        const CacheArray destination = cache_arrays()[i];
        const std::size_t size_bytes =
            static_cast<std::size_t>(cache.head_dim) * dtype_bytes(source.stored);
        const auto stride = static_cast<std::int64_t>(size_bytes);
        const auto content = read_array(source.data + from * stride, size_bytes);
        backend_.copy_in(destination.data + to * stride, content.data(), size_bytes);
        if (source.scales != nullptr) {
          poke(destination.scales, to, read_array(source.scales + from, 1)[0]);
        }
      }
    }
  }
}

}  // namespace quern::testing
