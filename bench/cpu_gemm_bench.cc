// Matrix products of the CPU backend on one thread: our kernels on weights as they are stored,
// beside OpenBLAS on weights widened tile by tile. See kMaxNarrowRows in backend/cpu/gemm.h.
// Arguments: rows, in_features, out_features and, for BLAS, columns of a tile.

#include <benchmark/benchmark.h>
#include <cblas.h>

#include <algorithm>
#include <random>
#include <vector>

#include "backend/cpu/vector_kernels.h"
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

void direct(benchmark::State& state, DType dtype) {
  const std::int64_t rows = state.range(0);
  const Matrix a(DType::float32, rows, state.range(1));
  const Matrix b(dtype, state.range(2), state.range(1));
  const Matrix out(DType::float32, rows, state.range(2));
  constexpr std::int64_t kTile = 128;
  for (auto _ : state) {
    for (std::int64_t c = 0; c < b.view.rows; c += kTile) {
      Tensor tile = out.view;
      tile.data = cpu::element(out.view, 0, c);
      cpu::vector_kernels().dot_rows(
          a.view, cpu::row_band(b.view, c, std::min(kTile, b.view.rows - c)), tile);
    }
  }
  count_flops(state, rows * state.range(1) * state.range(2));
}

void widened_blas(benchmark::State& state, DType dtype) {
  const std::int64_t rows = state.range(0);
  const std::int64_t depth = state.range(1);
  const std::int64_t tile = state.range(3);
  const Matrix a(DType::float32, rows, depth);
  const Matrix b(dtype, state.range(2), depth);
  const Matrix out(DType::float32, rows, state.range(2));
  const Matrix scratch(DType::float32, tile, depth);
  openblas_set_num_threads(1);
  for (auto _ : state) {
    for (std::int64_t c = 0; c < b.view.rows; c += tile) {
      const std::int64_t columns = std::min(tile, b.view.rows - c);
      const float* right = b.view.row<float>(c);
      if (dtype != DType::float32) {
        for (std::int64_t i = 0; i < columns; ++i) {
          load_floats(dtype, cpu::element(b.view, c + i, 0), cpu::float_row(scratch.view, i));
        }
        right = scratch.view.row<float>(0);
      }
      cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<int>(rows),
                  static_cast<int>(columns), static_cast<int>(depth), 1.0f, a.view.row<float>(0),
                  static_cast<int>(depth), right, static_cast<int>(depth), 0.0f,
                  out.view.row<float>(0) + c, static_cast<int>(state.range(2)));
    }
  }
  count_flops(state, rows * depth * state.range(2));
}

void direct_shapes(benchmark::internal::Benchmark* bench) {
  for (const int size : {192, 2048}) {
    for (const int rows : {1, 2, 4, 8, 12, 16, 24, 32}) bench->Args({rows, size, size});
  }
}

void blas_shapes(benchmark::internal::Benchmark* bench) {
  for (const int size : {192, 2048}) {
    for (const int rows : {4, 8, 12, 16, 24, 32, 256}) {
      for (const int tile : {16, 32, 64, 128}) bench->Args({rows, size, size, tile});
    }
  }
}

BENCHMARK_CAPTURE(direct, float32, DType::float32)->Apply(direct_shapes);
BENCHMARK_CAPTURE(direct, float16, DType::float16)->Apply(direct_shapes);
BENCHMARK_CAPTURE(direct, bfloat16, DType::bfloat16)->Apply(direct_shapes);
BENCHMARK_CAPTURE(widened_blas, float32, DType::float32)->Apply(blas_shapes);
BENCHMARK_CAPTURE(widened_blas, float16, DType::float16)->Apply(blas_shapes);

}  // namespace
}  // namespace quern

BENCHMARK_MAIN();
