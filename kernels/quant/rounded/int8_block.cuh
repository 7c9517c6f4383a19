#pragma once

#include "kernels/common/load.cuh"
#include "kernels/gemm/sm90/gemm_block.cuh"
#include "kernels/quant/rounded/int8_gemm.h"

namespace quern::kernels {

struct Int8GemmSm90KernelParams : GemmSm90KernelParams {
  RoundedRows in;
  QuantizedWeight weight;
};

/// A block of int8_gemm_sm90(): that of gemm_sm90() with rows and weights of bytes, integer sums,
/// and the scales and zero points of a tile's weight rows in shared memory.
template <int kWidth, int kPair>
struct Int8GemmBlock : GemmBlock<std::int8_t, kWidth, kPair, 1> {
  using Base = GemmBlock<std::int8_t, kWidth, kPair, 1>;
  using Sum = int;
  using KernelParams = Int8GemmSm90KernelParams;
  static constexpr bool kScalesProducts = true;
  static constexpr bool kLongEpilogue = true;  ///< products take half the time of float16's
  static constexpr int kSums = kWidth / 2;

  struct SharedMemory : Base::SharedMemory {
    float scales[Base::kConsumers][kWidth];
    std::uint8_t zero_points[Base::kConsumers][kWidth];
  };
  static_assert(sizeof(SharedMemory) <= 227 * 1024);

  __device__ static void init_barriers(SharedMemory& shared) { Base::init_barriers(shared); }

  /// A thread's sums as products: each is scaled where it is used, as there are no registers for
  /// both.
  class Products {
   public:
    __device__ Products(const int (&sums)[kSums], const KernelParams& p, const SharedMemory& shared,
                        const GemmWork& work, int group)
        : sums_(sums),
          scales_(shared.scales[group] + 2 * (threadIdx.x % 4)),
          zero_points_(shared.zero_points[group] + 2 * (threadIdx.x % 4)) {
      const int thread = static_cast<int>(threadIdx.x) % 128;
      const std::int64_t first = work.row + 64 * group + thread / 32 * 16 + thread % 32 / 4;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const std::int64_t row = first + 8 * half;
        const bool exists = row < p.num_rows;
        row_scales_[half] = exists ? p.in.scales[row] : 0.0f;
        row_sums_[half] = exists ? p.in.sums[row] : 0;
      }
    }

    /// Element i as wgmma.cuh has them.
    __device__ float operator[](int i) const {
      const int half = i / 2 % 2;
      const int column = i / 4 * 8 + i % 2;  // behind this thread's first one
      const int sum = sums_[i] - zero_points_[column] * row_sums_[half];
      return static_cast<float>(sum) * (row_scales_[half] * scales_[column]);
    }

   private:
    const int (&sums_)[kSums];
    const float* scales_;
    const std::uint8_t* zero_points_;
    float row_scales_[2];
    int row_sums_[2];
  };

  /// Called by all threads of a warpgroup, which meet at its barrier between the last use of a
  /// tile's products and the next call.
  __device__ static Products products(const int (&sums)[kSums], const KernelParams& p,
                                      SharedMemory& shared, const GemmWork& work, int group) {
    for (int column = static_cast<int>(threadIdx.x) % 128; column < kWidth; column += 128) {
      load_parameters(p, work.feature, column, shared.scales[group][column],
                      shared.zero_points[group][column]);
    }
    named_barrier_wait(Base::kOwnBarrier + group, 128);
    return Products(sums, p, shared, work, group);
  }

 private:
  /// Of a tile's column.
  __device__ static void load_parameters(const KernelParams& p, int feature, int column,
                                         float& scale, std::uint8_t& zero_point) {
    const std::int64_t row = weight_row_of<kWidth>(p.epilogue, feature, column);
    const bool exists = row >= 0;
    const std::int64_t at = row / p.weight.group_rows;
    scale = exists ? load_element(p.weight.scale_dtype, p.weight.scales, at) : 0.0f;
    zero_point =
        exists && p.weight.zero_points != nullptr ? p.weight.zero_points[at] : std::uint8_t{128};
  }
};

}  // namespace quern::kernels
