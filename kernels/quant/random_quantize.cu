#include <cuda_fp8.h>

#include "kernels/common/launch.h"
#include "kernels/common/load.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/memory/random_number.cuh"
#include "kernels/quant/dispatch_stored.h"
#include "kernels/quant/fragments.cuh"
#include "kernels/quant/random_quantize.h"

namespace quern::kernels {
namespace {

constexpr int kQuantizeThreads = 256;
constexpr int kWarps = kQuantizeThreads / kWarpSize;
constexpr int kNumbersOfLane = kRandomQuantizeGroup / kWarpSize;
static_assert(kNumbersOfLane == 4, "a lane's numbers are one word of draws");

/// What a group's largest number is divided by: half the range of the integers.
template <DType kStored>
constexpr float kScaleDivisor = kStored == DType::float8_e4m3 ? 448.0f
                                : kStored == DType::uint4     ? 7.5f
                                                              : 127.5f;

__device__ float round_scale(DType dtype, float scale) {
  return dtype == DType::float16 ? to_float(from_float<__half>(scale)) : scale;
}

template <DType kStored>
__device__ std::uint8_t quantize(float number, float scale) {
  const float scaled = scale == 0.0f ? 0.0f : __fdiv_rn(number, scale);
  if constexpr (kStored == DType::float8_e4m3) {
    return static_cast<std::uint8_t>(__nv_cvt_float_to_fp8(scaled, __NV_SATFINITE, __NV_E4M3));
  } else {
    constexpr int kZeroPoint = kSymmetricZeroPoint<kStored>;
    const float value = rintf(scaled) + static_cast<float>(kZeroPoint);
    return static_cast<std::uint8_t>(
        fminf(fmaxf(value, 0.0f), static_cast<float>(2 * kZeroPoint - 1)));
  }
}

/// The number of a draw.
__device__ float drawn_number(const RandomFillParams& numbers, std::int64_t draw) {
  const uint4 bytes = draw_bytes(numbers.key, static_cast<std::uint64_t>(draw / kDrawsPerCounter));
  const int byte = static_cast<int>(draw % kDrawsPerCounter);
  const std::uint32_t word = byte < 4    ? bytes.x
                             : byte < 8  ? bytes.y
                             : byte < 12 ? bytes.z
                                         : bytes.w;
  return random_number(numbers, word, byte % 4);
}

/// The scale of a whole row, whose numbers the block draws.
template <DType kStored>
__device__ float row_scale(const RandomQuantizeParams& p, std::int64_t row) {
  const std::int64_t draw = p.numbers.source + row * p.in_features;
  float largest = 0.0f;
  for (std::int64_t i = threadIdx.x; i < p.in_features; i += kQuantizeThreads) {
    largest = fmaxf(largest, fabsf(drawn_number(p.numbers, draw + i)));
  }
  return round_scale(p.scale_dtype, __fdiv_rn(block_max(largest), kScaleDivisor<kStored>));
}

/// One block per row.
template <DType kStored>
__global__ void __launch_bounds__(kQuantizeThreads)
    random_row_scales_kernel(const __grid_constant__ RandomQuantizeParams p) {
  const float scale = row_scale<kStored>(p, blockIdx.x);
  if (threadIdx.x == 0) store_element(p.scale_dtype, p.scales, blockIdx.x, scale);
}

/// One warp per group of a row. kByRow: the row's scale is there already.
template <DType kStored, bool kByRow>
__global__ void __launch_bounds__(kQuantizeThreads)
    random_quantize_kernel(const __grid_constant__ RandomQuantizeParams p) {
  constexpr int kTilesOfGroup = kRandomQuantizeGroup / kQuantTileInputs<kStored>;
  __shared__ std::uint8_t values_of_warps[kWarps][kRandomQuantizeGroup];
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const int warp = static_cast<int>(threadIdx.x) / kWarpSize;
  const std::int64_t groups = p.in_features / kRandomQuantizeGroup;
  const std::int64_t index = std::int64_t{blockIdx.x} * kWarps + warp;
  if (index >= p.weight_rows * groups) return;
  const std::int64_t row = index / groups;
  const std::int64_t group = index % groups;

  const std::int64_t draw =
      p.numbers.source + row * p.in_features + group * kRandomQuantizeGroup + kNumbersOfLane * lane;
  float numbers[kNumbersOfLane];
  float largest = 0.0f;
#pragma unroll
  for (int i = 0; i < kNumbersOfLane; ++i) {
    numbers[i] = drawn_number(p.numbers, draw + i);
    largest = fmaxf(largest, fabsf(numbers[i]));
  }
  const float scale =
      kByRow ? load_element(p.scale_dtype, p.scales, row)
             : round_scale(p.scale_dtype, __fdiv_rn(warp_max(largest), kScaleDivisor<kStored>));
  std::uint8_t* values = values_of_warps[warp];
#pragma unroll
  for (int i = 0; i < kNumbersOfLane; ++i) {
    values[kNumbersOfLane * lane + i] = quantize<kStored>(numbers[i], scale);
  }
  __syncwarp();

  const std::int64_t tile_row = row / kQuantTileRows;
  const int row_of_tile = static_cast<int>(row % kQuantTileRows);
  if (!kByRow && lane == 0) {
    store_element(p.scale_dtype, p.scales,
                  (tile_row * groups + group) * kQuantTileRows + row_of_tile, scale);
  }
  // Word j of vector t, see TileGeometry.
  const int t = lane % 4;
  const int word_index = lane / 4;
  const int tile = kStored == DType::uint4 ? 0 : word_index / 4;
  const int j = word_index % 4;
  if (tile >= kTilesOfGroup || (kStored == DType::uint4 && word_index >= 4)) return;
  std::uint32_t word = 0;
  if constexpr (kStored == DType::uint4) {
#pragma unroll
    for (int s = 0; s < 4; ++s) {
      const std::uint8_t* pair = values + 32 * j + 8 * s + 2 * t;
      word |= static_cast<std::uint32_t>(pair[0]) << (4 * s) | static_cast<std::uint32_t>(pair[1])
                                                                   << (16 + 4 * s);
    }
  } else {
    const std::uint8_t* from = values + tile * kQuantTileInputs<kStored> + 16 * j + 2 * t;
    word = from[0] | static_cast<std::uint32_t>(from[8]) << 8 |
           static_cast<std::uint32_t>(from[1]) << 16 | static_cast<std::uint32_t>(from[9]) << 24;
  }
  const std::int64_t at = (tile_row * groups + group) * kTilesOfGroup + tile;
  *reinterpret_cast<std::uint32_t*>(p.values + at * kQuantTileBytes + row_of_tile * 64 + 16 * t +
                                    4 * j) = word;
}

/// One block per row, which draws it twice.
__global__ void __launch_bounds__(kQuantizeThreads)
    random_quantize_rows_kernel(const __grid_constant__ RandomQuantizeParams p) {
  const std::int64_t row = blockIdx.x;
  const std::int64_t draw = p.numbers.source + row * p.in_features;
  const float scale = row_scale<DType::uint8>(p, row);
  for (std::int64_t i = threadIdx.x; i < p.in_features; i += kQuantizeThreads) {
    p.values[row * p.in_features + i] =
        quantize<DType::uint8>(drawn_number(p.numbers, draw + i), scale);
  }
  if (threadIdx.x == 0) store_element(p.scale_dtype, p.scales, row, scale);
}

}  // namespace

void random_quantize_rows(const RandomQuantizeParams& params, cudaStream_t stream) {
  const LaunchShape shape{.grid = dim3(static_cast<unsigned>(params.weight_rows)),
                          .block = dim3(kQuantizeThreads)};
  launch(random_quantize_rows_kernel, shape, stream, params);
}

void random_quantize(const RandomQuantizeParams& params, cudaStream_t stream) {
  const std::int64_t warps = params.weight_rows * (params.in_features / kRandomQuantizeGroup);
  const LaunchShape shape{.grid = dim3(static_cast<unsigned>((warps + kWarps - 1) / kWarps)),
                          .block = dim3(kQuantizeThreads)};
  if (params.by_row) {
    if (params.stored != DType::float8_e4m3) {
      throw_dispatch_error("random_quantize", "weight with a scale by row", "float8_e4m3",
                           dtype_name(params.stored));
    }
    const LaunchShape rows{.grid = dim3(static_cast<unsigned>(params.weight_rows)),
                           .block = dim3(kQuantizeThreads)};
    launch(random_row_scales_kernel<DType::float8_e4m3>, rows, stream, params);
    return launch(random_quantize_kernel<DType::float8_e4m3, true>, shape, stream, params);
  }
  dispatch_stored(params.stored, "random_quantize", [&]<DType kStored>() {
    launch(random_quantize_kernel<kStored, false>, shape, stream, params);
  });
}

}  // namespace quern::kernels
