#include <string_view>

#include "bench/kernels/bench_kernels.h"
#include "bench/kernels/device_arrays.h"
#include "bench/kernels/kernel_bench.h"
#include "bench/kernels/model_shapes.h"
#include "kernels/quant/float8/float8_gemm.h"

namespace quern::bench {
namespace {

constexpr DType kDtype = DType::float16;

/// One projection of E4M3 rows by E4M3 weights in tiles, with whole ones in both directions.
class Float8Case {
 public:
  Float8Case(const KernelBench& bench, ColdMemory& weights, const ProjectionShape& shape, int rows)
      : bench_(bench), weights_(weights), shape_(shape), arrays_(bench.timer) {
    round_.dtype = kDtype;
    round_.in = arrays_.random(kDtype, rows * shape.in_features, 1.0f);
    round_.num_rows = rows;
    round_.in_features = shape.in_features;
    round_.out.values = reinterpret_cast<std::uint8_t*>(arrays_.zeros(
        static_cast<std::size_t>(rows * kernels::float8_row_bytes(shape.in_features))));
    round_.out.scales =
        reinterpret_cast<float*>(arrays_.zeros(static_cast<std::size_t>(rows) * sizeof(float)));
    round_.use_pdl = bench.timer.use_pdl();
    gemm_.in = round_.out;
    gemm_.num_rows = rows;
    gemm_.weight.stored = DType::float8_e4m3;
    gemm_.weight.is_tiled = true;
    gemm_.weight.weight_rows = shape.weight_rows();
    gemm_.weight.in_features = shape.in_features;
    gemm_.weight.scales = arrays_.random(DType::float32, shape.weight_rows(), 1e-4f);
    gemm_.weight.scale_dtype = DType::float32;
    gemm_.weight.group_size = shape.in_features;
    gemm_.weight.num_groups = 1;
    gemm_.epilogue.activation = static_cast<kernels::Activation>(shape.activation);
    gemm_.epilogue.gated = shape.gated;
    gemm_.epilogue.out =
        arrays_.zeros(static_cast<std::size_t>(rows * shape.out_features) * dtype_bytes(kDtype));
    gemm_.epilogue.out_features = shape.out_features;
    gemm_.epilogue.out_dtype = kDtype;
    if (shape.bias) {
      gemm_.epilogue.bias =
          reinterpret_cast<const float*>(arrays_.random(DType::float32, shape.weight_rows(), 1.0f));
    }
    gemm_.num_multiprocessors = bench.timer.num_multiprocessors();
    gemm_.use_pdl = bench.timer.use_pdl();
  }

  void run() {
    measure("round", [&] { kernels::round_float8(round_, bench_.timer.stream().get()); });
    measure("mma", [&] { kernels::float8_gemm(gemm_, bench_.timer.stream().get()); });
    if (kernels::has_float8_gemm_sm90() && kernels::float8_gemm_sm90_supports(gemm_)) {
      measure("wgmma", [&] { kernels::float8_gemm_sm90(gemm_, bench_.timer.stream().get()); });
    }
  }

 private:
  template <typename Launch>
  void measure(std::string_view kernel, const Launch& launch) {
    const std::int64_t weight_bytes = shape_.weight_rows() * shape_.in_features;
    const int rows = static_cast<int>(gemm_.num_rows);
    Measurement m{"float8", shape_.name, std::string(kernel), rows};
    m.us = bench_.timer.time_us(ColdMemory::num_launches(weight_bytes), [&](int) {
      gemm_.weight.values = reinterpret_cast<const std::uint8_t*>(weights_.take(weight_bytes));
      launch();
    });
    const bool is_gemm = kernel != "round";
    m.bytes = is_gemm ? static_cast<double>(weight_bytes)
                      : 3.0 * rows * static_cast<double>(shape_.in_features);
    m.flops = is_gemm ? shape_.flops(rows) : 0.0;
    bench_.report.add(m);
  }

  const KernelBench& bench_;
  ColdMemory& weights_;
  const ProjectionShape& shape_;
  DeviceArrays arrays_;
  kernels::RoundFloat8Params round_;
  kernels::Float8GemmParams gemm_;
};

}  // namespace

void bench_float8(const KernelBench& bench) {
  if (!kernels::has_float8_gemm()) return;
  // The bytes of floats, as E4M3.
  ColdMemory weights(bench.timer, kDtype, 1.0f);
  for (const ModelShape& model : model_shapes()) {
    for (const ProjectionShape& shape : projections_of(model)) {
      const bool in_tiles = shape.in_features % 64 == 0 && shape.weight_rows() % 16 == 0;
      if (shape.float32_out || !in_tiles || !bench.wants(shape.name)) continue;
      for (const int rows : bench.rows) Float8Case(bench, weights, shape, rows).run();
    }
  }
}

}  // namespace quern::bench
