#pragma once

#include <cuda_fp8.h>

#include "kernels/common/load.cuh"
#include "kernels/gemm/sm90/gemm_block.cuh"
#include "kernels/quant/float8/float8_gemm.h"
#include "kernels/quant/float8/wgmma_float8.cuh"

namespace quern::kernels {

struct Float8GemmSm90KernelParams : GemmSm90KernelParams {
  const float* row_scales = nullptr;
  QuantizedWeight weight;
};

/// A block of float8_gemm_sm90(): that of gemm_sm90() with rows of bytes, weights as they lie in
/// tiles, and sums that leave the tensor cores after each stage.
template <int kWidth, int kPair>
struct Float8GemmBlock : GemmBlock<__nv_fp8_e4m3, kWidth, kPair, 1> {
  using Base = GemmBlock<__nv_fp8_e4m3, kWidth, kPair, 1>;
  using KernelParams = Float8GemmSm90KernelParams;
  static constexpr bool kScalesProducts = true;
  static constexpr bool kPromotesSums = true;
  static constexpr bool kWeightsInTiles = true;
  static constexpr int kSums = kWidth / 2;
  static_assert(kWidth <= 192, "two sums a product do not fit into registers");
  static_assert(Base::kDepth == kFloat8SumInputs);

  /// Weights of a stage: kWidth rows of 64 bytes for each of its two tiles along the inputs.
  static constexpr int kTileBytes = kWidth * 64;

  struct SharedMemory : Base::SharedMemory {
    float scales[Base::kConsumers][kWidth];
  };
  static_assert(sizeof(SharedMemory) <= 227 * 1024);

  /// The products of a stage: `rows` and `weights` in shared memory.
  __device__ static void multiply(float (&sums)[kSums], const unsigned char* rows,
                                  const unsigned char* weights) {
    const std::uint64_t a = swizzled_matrix(rows, 0);
    const std::uint64_t b = narrow_matrix(weights);
#pragma unroll
    for (int k = 0; k < 4; ++k) {  // of 32 bytes
      wgmma_float8(sums, advanced(a, 32 * k), advanced(b, k / 2 * kTileBytes + k % 2 * 32), k > 0);
    }
  }

  /// A thread's sums as products: each is scaled where it is used, as there are no registers for
  /// both.
  class Products {
   public:
    __device__ Products(const float (&sums)[kSums], const KernelParams& p,
                        const SharedMemory& shared, const GemmWork& work, int group)
        : sums_(sums), scales_(shared.scales[group] + 2 * (threadIdx.x % 4)) {
      const int thread = static_cast<int>(threadIdx.x) % 128;
      const std::int64_t first = work.row + 64 * group + thread / 32 * 16 + thread % 32 / 4;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const std::int64_t row = first + 8 * half;
        row_scales_[half] = row < p.num_rows ? p.row_scales[row] : 0.0f;
      }
    }

    /// Element i as wgmma.cuh has them.
    __device__ float operator[](int i) const {
      return sums_[i] * (row_scales_[i / 2 % 2] * scales_[i / 4 * 8 + i % 2]);
    }

   private:
    const float (&sums_)[kSums];
    const float* scales_;
    float row_scales_[2];
  };

  /// Called by all threads of a warpgroup, which meet at its barrier between the last use of a
  /// tile's products and the next call.
  __device__ static Products products(const float (&sums)[kSums], const KernelParams& p,
                                      SharedMemory& shared, const GemmWork& work, int group) {
    for (int column = static_cast<int>(threadIdx.x) % 128; column < kWidth; column += 128) {
      const std::int64_t row = weight_row_of<kWidth>(p.epilogue, work.feature, column);
      shared.scales[group][column] =
          row >= 0 ? load_element(p.weight.scale_dtype, p.weight.scales, row) : 0.0f;
    }
    named_barrier_wait(Base::kOwnBarrier + group, 128);
    return Products(sums, p, shared, work, group);
  }
};

}  // namespace quern::kernels
