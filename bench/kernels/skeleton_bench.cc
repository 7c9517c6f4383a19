#include <vector>

#include "bench/kernels/bench_kernels.h"
#include "bench/kernels/kernel_bench.h"
#include "bench/kernels/model_shapes.h"

namespace quern::bench {
namespace {

constexpr std::int64_t kContextTokens = 128;

/// The minimum bytes that each launch of a decode step of one sequence reads.
std::vector<std::int64_t> reads_of_step(const ModelShape& model) {
  const std::vector<ProjectionShape> projections = projections_of(model);
  const std::int64_t kv_bytes = 2 * 2 * kContextTokens * model.num_key_value_heads * model.head_dim;
  std::vector<std::int64_t> reads;
  for (int layer = 0; layer < model.num_hidden_layers; ++layer) {
    reads.push_back(projections[0].weight_bytes());
    reads.push_back(kv_bytes);
    for (const int i : {1, 2, 3}) {
      reads.push_back(projections[static_cast<std::size_t>(i)].weight_bytes());
    }
  }
  reads.push_back(projections.back().weight_bytes());
  return reads;
}

Measurement measure(const KernelBench& bench, const ModelShape& model, ColdMemory& memory,
                    bool use_pdl) {
  const std::vector<std::int64_t> reads = reads_of_step(model);
  Measurement result{"skeleton", model.name, use_pdl ? "pdl" : "no pdl", 1};
  for (const std::int64_t bytes : reads) result.bytes += static_cast<double>(bytes);
  result.us = bench.timer.time_us(1, [&](int) {
    for (const std::int64_t bytes : reads) {
      ReadParams params;
      params.data = memory.take(bytes);
      params.size_bytes = bytes;
      params.num_multiprocessors = bench.timer.num_multiprocessors();
      params.use_pdl = use_pdl;
      read_memory(params, bench.timer.stream().get());
    }
  });
  return result;
}

}  // namespace

void bench_skeletons(const KernelBench& bench) {
  ColdMemory memory(bench.timer, DType::float16, 1.0f);
  for (const ModelShape& model : model_shapes()) {
    if (!bench.wants(model.name)) continue;
    bench.report.add(measure(bench, model, memory, false));
    if (bench.timer.use_pdl()) bench.report.add(measure(bench, model, memory, true));
  }
}

}  // namespace quern::bench
