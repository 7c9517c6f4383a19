#include <array>
#include <limits>
#include <optional>

#include "backend/cuda/ops/ops.h"
#include "bench/kernels/bench_kernels.h"
#include "bench/kernels/device_arrays.h"
#include "bench/kernels/kernel_bench.h"
#include "bench/kernels/model_shapes.h"
#include "kernels/gemm/epilogue.h"
#include "kernels/norm/norm.h"

namespace quern::bench {
namespace {

constexpr DType kDtype = DType::float16;
constexpr int kLaunches = 64;

Tensor matrix(const void* data, std::int64_t rows, std::int64_t cols, DType dtype) {
  auto* bytes = static_cast<std::byte*>(const_cast<void*>(data));
  return {bytes, rows, cols, cols, dtype, Device{DeviceKind::cuda, 0}};
}

/// A weight of kDtype.
Weight row_major(const std::byte* data, const WeightShape& shape) {
  return row_major_weight({.stored = kDtype}, shape, const_cast<std::byte*>(data),
                          Device{DeviceKind::cuda, 0});
}

cuda::OpContext context_of(const KernelTimer& timer) {
  cuda::OpContext context;
  context.stream = timer.stream().get();
  context.num_multiprocessors = timer.num_multiprocessors();
  context.use_pdl = timer.use_pdl();
  return context;
}

/// The pool of cold memory of all these benchmarks.
struct ColdMemories {
  ColdMemory floats;
  ColdMemory halves;

  explicit ColdMemories(const KernelTimer& timer)
      : floats(timer, DType::float32, 1.0f), halves(timer, kDtype, 1.0f) {}
};

/// The norm between two projections: writes residual + delta and the norm.
void bench_norm(const KernelBench& bench, ColdMemories& cold, const ModelShape& model, int rows) {
  const std::int64_t count = std::int64_t{rows} * model.hidden_size;
  DeviceArrays arrays(bench.timer);
  kernels::NormParams params;
  params.input.dtype = kDtype;
  params.input.in_features = model.hidden_size;
  const bool is_gpt2 = model.model_type == "gpt2";
  params.input.kind = is_gpt2 ? kernels::NormKind::layer : kernels::NormKind::rms;
  params.input.epsilon = 1e-5f;
  const std::byte* gain = arrays.random(DType::float32, model.hidden_size, 1.0f);
  params.input.gain = reinterpret_cast<const float*>(gain);
  if (is_gpt2) params.input.bias = params.input.gain;
  params.num_rows = rows;
  params.residual_out =
      reinterpret_cast<float*>(arrays.zeros(static_cast<std::size_t>(count) * sizeof(float)));
  params.out = arrays.zeros(static_cast<std::size_t>(count) * dtype_bytes(kDtype));
  params.use_pdl = bench.timer.use_pdl();
  Measurement m{"row", model.name + ".norm", "norm", rows};
  m.us = bench.timer.time_us(kLaunches, [&](int) {
    params.input.residual = reinterpret_cast<const float*>(cold.floats.take(4 * count));
    params.input.delta = cold.halves.take(2 * count);
    kernels::norm(params, bench.timer.stream().get());
  });
  m.bytes = 6.0 * static_cast<double>(count);
  bench.report.add(m);
}

/// A prompt's embeddings, with another table for each launch.
void bench_embed(const KernelBench& bench, ColdMemories& cold, const ModelShape& model, int rows) {
  DeviceArrays arrays(bench.timer);
  std::vector<std::int32_t> ids(static_cast<std::size_t>(rows));
  std::vector<std::int32_t> positions(ids.size());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    constexpr std::size_t kStep = 7919;  // a prime: distant ids
    ids[i] = static_cast<std::int32_t>(i * kStep % static_cast<std::size_t>(model.vocab_size));
    positions[i] =
        static_cast<std::int32_t>(i % static_cast<std::size_t>(model.max_position_embeddings));
  }
  const bool has_positions = model.model_type == "gpt2";
  const auto hidden = std::int64_t{model.hidden_size};
  const std::int64_t token_bytes = 2 * model.vocab_size * hidden;
  const std::int64_t position_bytes = 2 * model.max_position_embeddings * hidden;
  const std::array<Tensor, 1> values = {
      matrix(arrays.zeros(4 * ids.size() * static_cast<std::size_t>(hidden)), rows, hidden,
             DType::float32)};
  Step step;
  step.values = values;
  step.batch.num_tokens = rows;
  step.batch.num_seqs = 1;
  step.batch.state_index = arrays.upload(std::vector<std::int32_t>{0});
  step.batch.token_ids = arrays.upload(ids);
  step.batch.positions = arrays.upload(positions);
  step.batch.cu_seqlens_q = arrays.upload(std::vector<std::int32_t>{0, rows});
  const cuda::OpContext context = context_of(bench.timer);
  const Embed op{ValueId{0}, WeightId{0},
                 has_positions ? std::optional(WeightId{1}) : std::nullopt};
  Measurement m{"row", model.name + ".embed", "embed", rows};
  m.us = bench.timer.time_us(ColdMemory::num_launches(token_bytes + position_bytes), [&](int) {
    const std::byte* tokens = cold.halves.take(token_bytes);
    const std::byte* places = cold.halves.take(position_bytes);
    const std::array<Weight, 2> weights = {
        row_major(tokens, {model.vocab_size, hidden}),
        row_major(places, {model.max_position_embeddings, hidden})};
    step.weights = weights;
    cuda::run_embed(op, step, context);
  });
  m.bytes = (has_positions ? 4.0 : 2.0) * rows * static_cast<double>(hidden);
  bench.report.add(m);
}

/// The epilogue after the library's GEMM of an MLP's first projection.
void bench_epilogue(const KernelBench& bench, ColdMemories& cold, const ModelShape& model,
                    int rows) {
  const ProjectionShape up = projections_of(model).at(2);
  const std::int64_t products = rows * up.weight_rows();
  DeviceArrays arrays(bench.timer);
  kernels::ApplyEpilogueParams params;
  params.num_rows = rows;
  if (up.bias) {
    const std::byte* bias = arrays.random(DType::float32, up.weight_rows(), 1.0f);
    params.epilogue.bias = reinterpret_cast<const float*>(bias);
  }
  params.epilogue.activation =
      up.gated ? kernels::Activation::silu : kernels::Activation::gelu_tanh;
  params.epilogue.gated = up.gated;
  params.epilogue.out_features = up.out_features;
  params.epilogue.out_dtype = kDtype;
  params.epilogue.out =
      arrays.zeros(static_cast<std::size_t>(rows * up.out_features) * dtype_bytes(kDtype));
  params.use_pdl = bench.timer.use_pdl();
  Measurement m{"row", model.name + ".up", "epilogue", rows};
  m.us = bench.timer.time_us(kLaunches, [&](int) {
    params.products = reinterpret_cast<const float*>(cold.floats.take(4 * products));
    kernels::apply_epilogue(params, bench.timer.stream().get());
  });
  m.bytes = 4.0 * static_cast<double>(products);
  bench.report.add(m);
}

/// The end of a decode step without finished sequences.
void bench_advance(const KernelBench& bench, int rows) {
  constexpr std::int64_t kHistory = 1 << 16;
  const auto count = static_cast<std::size_t>(rows);
  DeviceArrays arrays(bench.timer);
  std::vector<std::int32_t> index(count);
  for (std::size_t i = 0; i < count; ++i) index[i] = static_cast<std::int32_t>(i);
  const auto numbers = [&](std::int32_t value) {
    return arrays.upload(std::vector<std::int32_t>(count, value));
  };
  Step step;
  step.batch.num_tokens = rows;
  step.batch.num_seqs = rows;
  step.batch.num_decode_seqs = rows;
  step.batch.num_logit_rows = rows;
  step.batch.state_index = arrays.upload(index);
  step.batch.logit_seqs = step.batch.state_index;
  std::vector<std::int32_t> bounds = index;
  bounds.push_back(rows);
  step.batch.cu_seqlens_q = arrays.upload(bounds);
  SequenceState& state = step.state;
  state.last_token = numbers(7);
  state.position = numbers(1);
  state.kv_len = numbers(1);
  state.finished = numbers(0);
  state.generated = numbers(0);
  state.max_tokens = numbers(std::numeric_limits<std::int32_t>::max());
  state.prompt_len = numbers(1);
  state.history_stride = kHistory;
  state.history =
      reinterpret_cast<std::int32_t*>(arrays.zeros(count * kHistory * sizeof(std::int32_t)));
  state.num_finished = arrays.upload(std::vector<std::int32_t>{0});
  step.sampling = arrays.upload(std::vector<SamplingRow>(count));
  step.ring.capacity = kLaunches;
  step.ring.max_seqs = rows;
  step.ring.head = arrays.upload(std::vector<std::int64_t>{0});
  step.ring.published = arrays.upload(std::vector<std::int64_t>{0});
  step.ring.tokens = arrays.upload(std::vector<std::int32_t>(kLaunches * count));
  const cuda::OpContext context = context_of(bench.timer);
  Measurement m{"row", "advance", "advance", rows};
  m.us = bench.timer.time_us(kLaunches, [&](int) { cuda::run_advance(Advance{}, step, context); });
  bench.report.add(m);
}

}  // namespace

void bench_rows(const KernelBench& bench) {
  ColdMemories cold(bench.timer);
  for (const ModelShape& model : model_shapes()) {
    if (!bench.wants(model.name)) continue;
    for (const int rows : bench.rows) {
      bench_norm(bench, cold, model, rows);
      bench_embed(bench, cold, model, rows);
      bench_epilogue(bench, cold, model, rows);
    }
  }
  if (!bench.wants("advance")) return;
  for (const int rows : bench.rows) {
    constexpr int kMostSequences = 64;
    if (rows <= kMostSequences) bench_advance(bench, rows);
  }
}

}  // namespace quern::bench
