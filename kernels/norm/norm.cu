#include "kernels/common/dependent_launch.cuh"
#include "kernels/common/dispatch.h"
#include "kernels/common/launch.h"
#include "kernels/norm/norm.h"
#include "kernels/norm/norm_row.cuh"

namespace quern::kernels {
namespace {

/// Threads per block; a block norms one row. With few rows the latency of a row dominates, so more
/// threads share it.
constexpr int kManyThreads = 512;
constexpr int kFewThreads = 256;
constexpr int kFewRows = 128;

/// Groups of elements per thread: rows of 4096 elements stay in registers.
template <int kWidth, int kThreads>
constexpr int kHeld = kWidth == 4 ? 1024 / kThreads : 1;

template <typename T, int kWidth, int kThreads>
__global__ void __launch_bounds__(kThreads) norm_kernel(const __grid_constant__ NormParams p) {
  let_next_kernel_start();
  NormRow<T, kWidth, kHeld<kWidth, kThreads>> norm(p.input);
  wait_for_earlier_kernels();
  const std::int64_t row = blockIdx.x;
  const std::int64_t token_row = p.input.token_rows != nullptr ? p.input.token_rows[row] : row;
  norm.load(token_row);
  if (p.residual_out != nullptr) norm.store(p.residual_out + row * p.input.in_features);
  norm.store_norm(static_cast<T*>(p.out) + row * p.input.in_features);
}

/// Calls body<T, kWidth, kThreads>(shape). Vectors of four need a row length that is a multiple of
/// it.
template <typename Body>
void dispatch_rows(const NormParams& params, const char* kernel, const Body& body) {
  dispatch_float(params.input.dtype, kernel, [&]<typename T>() {
    const auto launch_with = [&]<int kWidth, int kThreads>() {
      body.template operator()<T, kWidth, kThreads>(
          LaunchShape{.grid = dim3(static_cast<unsigned>(params.num_rows)),
                      .block = dim3(kThreads),
                      .use_pdl = params.use_pdl});
    };
    if (params.input.in_features % 4 != 0) return launch_with.template operator()<1, kFewThreads>();
    if (params.num_rows > kFewRows || params.deterministic) {
      return launch_with.template operator()<4, kFewThreads>();
    }
    launch_with.template operator()<4, kManyThreads>();
  });
}

}  // namespace

void norm(const NormParams& params, cudaStream_t stream) {
  dispatch_rows(params, "norm",
                [&]<typename T, int kWidth, int kThreads>(const LaunchShape& shape) {
                  launch(norm_kernel<T, kWidth, kThreads>, shape, stream, params);
                });
}

}  // namespace quern::kernels
