// Single-threaded GEMMs of the CPU backend in each instruction set of the machine, on weights as
// stored or widened tile by tile; see kMaxNarrowRows in backend/cpu/gemm/gemm.h. Arguments: rows,
// in_features, out_features.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <random>
#include <vector>

#include "backend/cpu/gemm/vector_kernels.h"
#include "backend/cpu/views.h"
#include "base/half.h"

namespace quern {
namespace {

std::vector<float> random_floats(std::int64_t count) {
  std::mt19937 engine(1);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = normal(engine);
  return values;
}

/// Random numbers in their stored dtype, as a matrix.
struct Matrix {
  Matrix(DType dtype, std::int64_t rows, std::int64_t cols)
      : bytes(static_cast<std::size_t>(rows * cols) * dtype_bytes(dtype)),
        view{bytes.data(), rows, cols, cols, dtype, Device{}} {
    store_floats(dtype, random_floats(rows * cols), bytes.data());
  }
  Matrix(const Matrix&) = delete;
  Matrix& operator=(const Matrix&) = delete;

  std::vector<std::byte> bytes;
  Tensor view;
};

void count_flops(benchmark::State& state, std::int64_t multiply_adds) {
  state.counters["flops"] = benchmark::Counter(
      2.0 * static_cast<double>(multiply_adds) * static_cast<double>(state.iterations()),
      benchmark::Counter::kIsRate, benchmark::Counter::kIs1000);
}

/// With `widen`, 16-bit weights are widened in memory tile by tile, as for many rows.
void gemm(benchmark::State& state, const cpu::VectorKernels* kernels, DType dtype, bool widen) {
  if (kernels == nullptr) return state.SkipWithError("this machine has none");
  const std::int64_t rows = state.range(0);
  const std::int64_t depth = state.range(1);
  constexpr std::int64_t kTile = 120;
  const Matrix a(DType::float32, rows, depth);
  const Matrix b(dtype, state.range(2), depth);
  const Matrix out(DType::float32, rows, state.range(2));
  const Matrix scratch(DType::float32, kTile, depth);
  for (auto _ : state) {
    for (std::int64_t c = 0; c < b.view.rows; c += kTile) {
      Tensor weight = cpu::row_slice(b.view, c, std::min(kTile, b.view.rows - c));
      if (widen) {
        for (std::int64_t i = 0; i < weight.rows; ++i) {
          load_floats(dtype, cpu::element(weight, i, 0), cpu::float_row(scratch.view, i));
        }
        weight = cpu::row_slice(scratch.view, 0, weight.rows);
      }
      Tensor tile = out.view;
      tile.data = cpu::element(out.view, 0, c);
      kernels->dot_rows(a.view, weight, tile, false);
    }
  }
  count_flops(state, rows * depth * state.range(2));
}

void shapes(benchmark::internal::Benchmark* bench) {
  for (const int size : {192, 768, 2048}) {
    for (const int rows : {1, 2, 4, 8, 16, 32, 240}) bench->Args({rows, size, size});
  }
}

#define QUERN_GEMM_BENCH(name, kernels)                                                          \
  BENCHMARK_CAPTURE(gemm, name##_float32, kernels, DType::float32, false)->Apply(shapes);        \
  BENCHMARK_CAPTURE(gemm, name##_float16, kernels, DType::float16, false)->Apply(shapes);        \
  BENCHMARK_CAPTURE(gemm, name##_float16_widened, kernels, DType::float16, true)->Apply(shapes); \
  BENCHMARK_CAPTURE(gemm, name##_bfloat16, kernels, DType::bfloat16, false)->Apply(shapes)

QUERN_GEMM_BENCH(avx512, cpu::avx512_kernels());
QUERN_GEMM_BENCH(avx2, cpu::avx2_kernels());
QUERN_GEMM_BENCH(portable, &cpu::portable_kernels());

}  // namespace
}  // namespace quern

BENCHMARK_MAIN();
