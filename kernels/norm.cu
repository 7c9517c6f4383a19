#include "kernels/common/dependent_launch.cuh"
#include "kernels/common/dispatch.h"
#include "kernels/common/launch.h"
#include "kernels/common/norm_row.cuh"
#include "kernels/norm.h"

namespace quern::kernels {
namespace {

constexpr int kThreads = 512;

/// Groups of elements that a thread holds: rows of 4096 elements stay in registers.
template <int kWidth>
constexpr int kHeld = kWidth == 4 ? 2 : 1;

template <typename T, int kWidth>
__global__ void __launch_bounds__(kThreads) norm_kernel(const __grid_constant__ NormParams p) {
  let_next_kernel_start();
  NormRow<T, kWidth, kHeld<kWidth>> norm(p.input);
  wait_for_earlier_kernels();
  const std::int64_t row = blockIdx.x;
  const std::int64_t token_row = p.input.token_rows != nullptr ? p.input.token_rows[row] : row;
  norm.load(token_row);
  if (p.residual_out != nullptr) norm.store(p.residual_out + token_row * p.input.in_features);
  norm.store_norm(static_cast<T*>(p.out) + row * p.input.in_features);
}

template <typename T, int kWidth>
__global__ void __launch_bounds__(kThreads) add_delta_kernel(const __grid_constant__ NormParams p) {
  let_next_kernel_start();
  NormRow<T, kWidth, kHeld<kWidth>> row(p.input);
  wait_for_earlier_kernels();
  row.load(blockIdx.x);
  row.store(p.residual_out + std::int64_t{blockIdx.x} * p.input.in_features);
}

/// Calls body<T, kWidth>(): rows of four elements stay aligned where their length is a multiple.
template <typename Body>
void dispatch_rows(const NormInput& input, const char* kernel, const Body& body) {
  dispatch_float(input.dtype, kernel, [&]<typename T>() {
    if (input.in_features % 4 == 0) return body.template operator()<T, 4>();
    body.template operator()<T, 1>();
  });
}

LaunchShape shape_of(const NormParams& params) {
  return {.grid = dim3(params.num_rows), .block = dim3(kThreads), .overlaps = params.overlaps};
}

}  // namespace

void norm(const NormParams& params, cudaStream_t stream) {
  dispatch_rows(params.input, "norm", [&]<typename T, int kWidth>() {
    launch(norm_kernel<T, kWidth>, shape_of(params), stream, params);
  });
}

void add_delta(const NormParams& params, cudaStream_t stream) {
  dispatch_rows(params.input, "add_delta", [&]<typename T, int kWidth>() {
    launch(add_delta_kernel<T, kWidth>, shape_of(params), stream, params);
  });
}

}  // namespace quern::kernels
