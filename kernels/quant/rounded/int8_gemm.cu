#include "kernels/quant/rounded/int8_gemm.h"
#include "kernels/quant/rounded/rounded_gemm.cuh"

namespace quern::kernels {
namespace {

/// Rows of int8 by row-major weights of uint8, with zero points.
struct Int8Numbers {
  using Params = Int8GemmParams;
  using Sum = int;
  static constexpr bool kHasCode = true;
  static constexpr int kMinBlocks = 0;
  static constexpr bool kPromotesSums = false;

  __device__ static std::int64_t row_bytes(const Params& p) { return p.weight.in_features; }
  __device__ static const std::uint8_t* weight_row(const Params& p, std::int64_t row) {
    return p.weight.values + row * p.weight.in_features;
  }
  __device__ static int weight_offset(int at) { return at; }

  /// Fragments are those of 8 x 8 matrices of 16-bit elements (mma.cuh) with two bytes each: a:
  /// rows 0-7 and 8-15 of bytes 0-15, then of bytes 16-31; b: bytes 0-15 and 16-31 of eight rows of
  /// K-major weights.
  __device__ static void multiply(int (&sums)[4], const std::uint32_t (&a)[4],
                                  const std::uint32_t (&b)[2]) {
    asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.u8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};"
        : "+r"(sums[0]), "+r"(sums[1]), "+r"(sums[2]), "+r"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  }

  struct Row {
    float scale;
    int sum;
    __device__ Row(const Params& p, std::int64_t row)
        : scale(p.in.scales[row]), sum(p.in.sums[row]) {}
  };
  struct Feature {
    float scale = 0.0f;
    int zero_point = 128;
    Feature() = default;
    __device__ Feature(const Params& p, std::int64_t weight_row) {
      const QuantizedWeight& w = p.weight;
      const std::int64_t at = weight_row / w.group_rows;
      scale = load_element(w.scale_dtype, w.scales, at);
      if (w.zero_points != nullptr) zero_point = w.zero_points[at];
    }
  };
  __device__ static float product(int sum, const Row& row, const Feature& feature) {
    return static_cast<float>(sum - feature.zero_point * row.sum) * (row.scale * feature.scale);
  }
};

}  // namespace

bool int8_gemm_supports(const Int8GemmParams& params) {
  const QuantizedWeight& w = params.weight;
  return w.stored == DType::uint8 && !w.is_tiled && w.num_groups == 1 &&
         w.input_permutation == nullptr && w.in_features % 16 == 0 &&
         w.in_features <= kMaxInt8Inputs;
}

void int8_gemm(const Int8GemmParams& params, cudaStream_t stream) {
  rounded_gemm<Int8Numbers>(params, stream);
}

}  // namespace quern::kernels
