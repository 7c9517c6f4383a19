#include "kernels/quant/float8/float8_gemm.h"
#include "kernels/quant/rounded/rounded_gemm.cuh"

namespace quern::kernels {

struct Float8GemmKernelParams : Float8GemmParams {
  int row_bytes = 0;
};

/// Rows of E4M3 by weights of E4M3 in tiles: both have their inputs in the same order, so that
/// fragments are loaded as if they lay in the usual one. In no anonymous namespace, in which nvcc
/// warns of functions that code for sm_80 does not use.
struct Float8Numbers {
  using Params = Float8GemmKernelParams;
  using Sum = float;
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 890
  static constexpr bool kHasCode = true;
#else
  static constexpr bool kHasCode = false;
#endif
  /// On sm_90 194 registers in place of 130: about 10 us less a layer of LLaMA-7B on an H200.
  static constexpr int kMinBlocks = 1;
  static constexpr bool kPromotesSums = true;
  static_assert(RoundedGemmManyRows::kDepth == kFloat8SumInputs);

  static constexpr int kTileInputs = quant_tile_inputs(DType::float8_e4m3);

  __device__ static std::int64_t row_bytes(const Params& p) { return p.row_bytes; }
  __device__ static const std::uint8_t* weight_row(const Params& p, std::int64_t row) {
    return p.weight.values + row / kQuantTileRows * kQuantTileRows * p.row_bytes +
           row % kQuantTileRows * kTileInputs;
  }
  __device__ static int weight_offset(int at) {
    return at / kTileInputs * kQuantTileBytes + at % kTileInputs;
  }

  /// Fragments as those of int8.
  __device__ static void multiply(float (&sums)[4], const std::uint32_t (&a)[4],
                                  const std::uint32_t (&b)[2]) {
    asm("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  }

  struct Row {
    float scale;
    __device__ Row(const Params& p, std::int64_t row) : scale(p.in.scales[row]) {}
  };
  struct Feature {
    float scale = 0.0f;
    Feature() = default;
    __device__ Feature(const Params& p, std::int64_t weight_row)
        : scale(load_element(p.weight.scale_dtype, p.weight.scales, weight_row)) {}
  };
  __device__ static float product(float sum, const Row& row, const Feature& feature) {
    return sum * (row.scale * feature.scale);
  }
};

bool has_float8_gemm() { return rounded_gemm_architecture<Float8Numbers>() != 0; }

bool has_float8_mma() {
  const int architecture = rounded_gemm_architecture<Float8Numbers>();
  return architecture != 0 && (architecture < 90 || architecture >= 120);
}

bool float8_gemm_supports(const Float8GemmParams& p) {
  const QuantizedWeight& w = p.weight;
  return w.stored == DType::float8_e4m3 && w.is_tiled && w.num_groups == 1 &&
         w.zero_points == nullptr && w.input_permutation == nullptr &&
         is_fused_activation(p.epilogue.activation);
}

void float8_gemm(const Float8GemmParams& params, cudaStream_t stream) {
  const auto row_bytes = static_cast<int>(float8_row_bytes(params.weight.in_features));
  rounded_gemm<Float8Numbers>({params, row_bytes}, stream);
}

}  // namespace quern::kernels
