#include "kernels/common/dispatch.h"
#include "kernels/common/launch.h"
#include "kernels/common/load.cuh"
#include "kernels/memory/random_fill.h"
#include "kernels/memory/random_number.cuh"

namespace quern::kernels {
namespace {

constexpr int kFillThreads = 256;

/// Any run: one thread per element.
template <typename T>
__global__ void __launch_bounds__(kFillThreads)
    fill_elements_kernel(const __grid_constant__ RandomFillParams p) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kFillThreads + threadIdx.x;
  if (i >= p.count) return;
  const std::int64_t source = p.source + i * p.stride;
  const uint4 bytes = draw_bytes(p.key, static_cast<std::uint64_t>(source / kDrawsPerCounter));
  const std::uint32_t words[4] = {bytes.x, bytes.y, bytes.z, bytes.w};
  const int byte = static_cast<int>(source % kDrawsPerCounter);
  static_cast<T*>(p.weight)[p.first + i * p.stride] =
      from_float<T>(random_number(p, words[byte / 4], byte % 4));
}

/// Consecutive elements that begin at a counter: one thread per counter.
template <typename T>
__global__ void __launch_bounds__(kFillThreads)
    fill_dense_kernel(const __grid_constant__ RandomFillParams p) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kFillThreads + threadIdx.x;
  const std::int64_t begin = i * kDrawsPerCounter;
  if (begin >= p.count) return;
  const uint4 bytes =
      draw_bytes(p.key, static_cast<std::uint64_t>(p.source / kDrawsPerCounter + i));
  const std::uint32_t words[4] = {bytes.x, bytes.y, bytes.z, bytes.w};
  T* out = static_cast<T*>(p.weight) + p.first + begin;
#pragma unroll
  for (int w = 0; w < 4; ++w) {
    if (begin + 4 * w + 4 <= p.count) {
      store_4(out + 4 * w, {random_number(p, words[w], 0), random_number(p, words[w], 1),
                            random_number(p, words[w], 2), random_number(p, words[w], 3)});
      continue;
    }
    for (int byte = 0; byte < 4 && begin + 4 * w + byte < p.count; ++byte) {
      out[4 * w + byte] = from_float<T>(random_number(p, words[w], byte));
    }
  }
}

bool is_dense(const RandomFillParams& p) {
  return p.stride == 1 && p.first % 4 == 0 && p.source % kDrawsPerCounter == 0;
}

}  // namespace

void random_fill(const RandomFillParams& params, cudaStream_t stream) {
  if (params.count == 0) return;
  const bool dense = is_dense(params);
  const std::int64_t per_block = std::int64_t{kFillThreads} * (dense ? kDrawsPerCounter : 1);
  const LaunchShape shape{
      .grid = dim3(static_cast<unsigned>((params.count + per_block - 1) / per_block)),
      .block = dim3(kFillThreads)};
  dispatch_float(params.dtype, "random_fill", [&]<typename T>() {
    launch(dense ? fill_dense_kernel<T> : fill_elements_kernel<T>, shape, stream, params);
  });
}

}  // namespace quern::kernels
