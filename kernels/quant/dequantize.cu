#include <cuda_fp8.h>

#include "kernels/common/dependent_launch.cuh"
#include "kernels/common/dispatch.h"
#include "kernels/common/launch.h"
#include "kernels/common/load.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/quant/dequantize.h"
#include "kernels/quant/dispatch_stored.h"
#include "kernels/quant/fragments.cuh"

namespace quern::kernels {
namespace {

constexpr int kDequantizeThreads = 256;

__device__ float float8_value(int bits) {
  __nv_fp8_e4m3 value;
  value.__x = static_cast<__nv_fp8_storage_t>(bits);
  return static_cast<float>(value);
}

/// The number of a value.
template <DType kStored>
__device__ float number(int value, int zero_point) {
  return kStored == DType::float8_e4m3 ? float8_value(value)
                                       : static_cast<float>(value - zero_point);
}

/// Any row-major weight: one thread per element.
template <typename T, DType kStored>
__global__ void __launch_bounds__(kDequantizeThreads)
    dequantize_elements_kernel(const __grid_constant__ DequantizeParams p) {
  let_next_kernel_start();
  wait_for_earlier_kernels();
  const QuantizedWeight& w = p.weight;
  const std::int64_t index = std::int64_t{blockIdx.x} * kDequantizeThreads + threadIdx.x;
  if (index >= w.weight_rows * w.in_features) return;
  const std::int64_t row = index / w.in_features;
  const std::int64_t input = index % w.in_features;
  int value = 0;
  if constexpr (kStored == DType::uint4) {
    value = w.values[row * ((w.in_features + 1) / 2) + input / 2] >> (input % 2 * 4) & 15;
  } else {
    value = w.values[index];
  }
  const std::int64_t parameter = row / w.group_rows * w.num_groups + input / w.group_size;
  const int zero_point =
      w.zero_points != nullptr ? w.zero_points[parameter] : kSymmetricZeroPoint<kStored>;
  const float scale = load_element(w.scale_dtype, w.scales, parameter);
  const std::int64_t to = w.input_permutation != nullptr ? w.input_permutation[input] : input;
  static_cast<T*>(p.out)[row * w.in_features + to] =
      from_float<T>(scale * number<kStored>(value, zero_point));
}

/// A weight in tiles: one warp per tile, eight inputs of a row per lane at a time.
template <typename T, DType kStored>
class DequantizedTile {
 public:
  __device__ DequantizedTile(const DequantizeParams& p, std::int64_t tile_row, std::int64_t tile)
      : p_(p),
        lane_(static_cast<int>(threadIdx.x) % kWarpSize),
        tile_row_(tile_row),
        row_(tile_row * kQuantTileRows + lane_ / 4),
        first_(tile * kQuantTileInputs<kStored>) {
    const std::int64_t tiles =
        (p.weight.in_features + kQuantTileInputs<kStored> - 1) / kQuantTileInputs<kStored>;
    const uint4 vector = load_16_bytes_once(
        p.weight.values + (tile_row * tiles + tile) * kQuantTileBytes + 16 * lane_);
    words_[0] = vector.x;
    words_[1] = vector.y;
    words_[2] = vector.z;
    words_[3] = vector.w;
  }

  __device__ void store() {
    constexpr int kInputsOfWord = kStored == DType::uint4 ? 32 : 16;
    constexpr int kPairs = kInputsOfWord / 8;
#pragma unroll
    for (int segment = 0; segment < kSegmentsOfTile<kStored>; ++segment) {
      float numbers[8];
      const float scale = find_scale(segment);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const std::uint32_t word = words_[(4 * segment + i) / kPairs];
        const int place = i % kPairs;
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          const int value = kStored == DType::uint4 ? word >> (4 * place + 16 * j) & 15
                                                    : word >> (8 * place + 16 * j) & 255;
          numbers[2 * i + j] = scale * number<kStored>(value, zero_point_);
        }
      }
      store_segment(segment, numbers);
    }
  }

 private:
  __device__ float find_scale(int segment) {
    const QuantizedWeight& w = p_.weight;
    const std::int64_t group = (first_ + segment * kSegmentInputs) / w.group_size;
    const std::int64_t index = (tile_row_ * w.num_groups + group) * kQuantTileRows + lane_ / 4;
    zero_point_ = w.zero_points != nullptr ? w.zero_points[index] : kSymmetricZeroPoint<kStored>;
    return load_element(w.scale_dtype, w.scales, index);
  }

  /// `numbers`: of inputs 2 t + {0, 8, 16, 24} and the next.
  __device__ void store_segment(int segment, const float (&numbers)[8]) const {
    const QuantizedWeight& w = p_.weight;
    const std::int64_t first = first_ + segment * kSegmentInputs;
    T* out = static_cast<T*>(p_.out) + row_ * w.in_features;
    if constexpr (sizeof(T) == 2) {
      if (w.input_permutation == nullptr && w.in_features % 8 == 0) {
        // A transposition among four lanes, so that each stores 16 bytes.
        std::uint32_t own[4];
#pragma unroll
        for (int i = 0; i < 4; ++i) own[i] = pack<T>(numbers[2 * i], numbers[2 * i + 1]);
        const int t = lane_ % 4;
        std::uint32_t vector[4];
#pragma unroll
        for (int from = 0; from < 4; ++from) {
          // Round `from`: lane t gives to lane t ^ from what is that lane's, own[t ^ from].
          const int to = t ^ from;
          const std::uint32_t given = to == 0   ? own[0]
                                      : to == 1 ? own[1]
                                      : to == 2 ? own[2]
                                                : own[3];
          const std::uint32_t taken = __shfl_xor_sync(~0u, given, from);
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            if (i == to) vector[i] = taken;
          }
        }
        if (row_ < w.weight_rows && first + 8 * t < w.in_features) {
          *reinterpret_cast<uint4*>(out + first + 8 * t) = {vector[0], vector[1], vector[2],
                                                            vector[3]};
        }
        return;
      }
    }
    if (row_ >= w.weight_rows) return;
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      const std::int64_t input = first + i / 2 * 8 + lane_ % 4 * 2 + i % 2;
      if (input >= w.in_features) continue;
      out[w.input_permutation != nullptr ? w.input_permutation[input] : input] =
          from_float<T>(numbers[i]);
    }
  }

  const DequantizeParams& p_;
  int lane_;
  std::int64_t tile_row_;
  std::int64_t row_;
  std::int64_t first_;  ///< input
  std::uint32_t words_[4];
  int zero_point_ = 0;
};

template <typename T, DType kStored>
__global__ void __launch_bounds__(kDequantizeThreads)
    dequantize_tiles_kernel(const __grid_constant__ DequantizeParams p) {
  let_next_kernel_start();
  const std::int64_t tiles =
      (p.weight.in_features + kQuantTileInputs<kStored> - 1) / kQuantTileInputs<kStored>;
  const std::int64_t tile_rows = (p.weight.weight_rows + kQuantTileRows - 1) / kQuantTileRows;
  const std::int64_t index =
      (std::int64_t{blockIdx.x} * kDequantizeThreads + threadIdx.x) / kWarpSize;
  const bool exists = index < tile_rows * tiles;
  DequantizedTile<T, kStored> tile(p, exists ? index / tiles : 0, exists ? index % tiles : 0);
  wait_for_earlier_kernels();  // which may still read what this overwrites
  if (exists) tile.store();
}

}  // namespace

void dequantize(const DequantizeParams& params, cudaStream_t stream) {
  const QuantizedWeight& w = params.weight;
  const int tile_inputs = quant_tile_inputs(w.stored);
  const std::int64_t threads = w.is_tiled ? (w.weight_rows + kQuantTileRows - 1) / kQuantTileRows *
                                                ((w.in_features + tile_inputs - 1) / tile_inputs) *
                                                kWarpSize
                                          : w.weight_rows * w.in_features;
  const LaunchShape shape{
      .grid = dim3(static_cast<unsigned>((threads + kDequantizeThreads - 1) / kDequantizeThreads)),
      .block = dim3(kDequantizeThreads),
      .use_pdl = params.use_pdl};
  dispatch_float(params.dtype, "dequantize", [&]<typename T>() {
    dispatch_stored(w.stored, "dequantize", [&]<DType kStored>() {
      launch(
          w.is_tiled ? dequantize_tiles_kernel<T, kStored> : dequantize_elements_kernel<T, kStored>,
          shape, stream, params);
    });
  });
}

}  // namespace quern::kernels
