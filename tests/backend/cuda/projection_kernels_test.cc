#include "backend/cuda/ops/projection_kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <initializer_list>

#include "tests/support/expect_error.h"

namespace quern::cuda {
namespace {

using enum DType;
using enum ProjectionKernel;

constexpr std::int64_t kSmall = 1000;
constexpr std::int64_t kLarge = GemmCrossover::kLargeWeight + 1;
constexpr GemmCrossover kH200 = gemm_crossover(18.8);

/// Supports every size and alignment, except with the kernels of `refused`.
ProjectionKernel kernel_of(DType activation, DType stored, std::int64_t num_rows,
                           std::int64_t weight_elements = kSmall,
                           std::initializer_list<ProjectionKernel> refused = {},
                           const GemmCrossover& crossover = kH200) {
  return find_projection_kernel(
      {activation, stored, WeightLayout::row_major, num_rows, weight_elements}, crossover,
      [&](ProjectionKernel kernel) {
        return std::find(refused.begin(), refused.end(), kernel) == refused.end();
      });
}

TEST(ProjectionKernels, HalfTypesGoFromGemvOverTheSkinnyGemmToWgmma) {
  for (const DType dtype : {float16, bfloat16}) {
    EXPECT_EQ(kernel_of(dtype, dtype, 1), gemv);
    EXPECT_EQ(kernel_of(dtype, dtype, 2), gemv);
    EXPECT_EQ(kernel_of(dtype, dtype, 3), skinny_gemm);
    EXPECT_EQ(kernel_of(dtype, dtype, 32), skinny_gemm);
    EXPECT_EQ(kernel_of(dtype, dtype, 33), gemm_sm90);
    EXPECT_EQ(kernel_of(dtype, dtype, 16, kLarge), skinny_gemm);
    EXPECT_EQ(kernel_of(dtype, dtype, 17, kLarge), gemm_sm90);
    EXPECT_EQ(kernel_of(dtype, dtype, 5000), gemm_sm90);
  }
}

TEST(ProjectionKernels, SlowMemoryKeepsTheSkinnyGemmLonger) {
  const GemmCrossover a10 = gemm_crossover(4.9);
  EXPECT_EQ(kernel_of(float16, float16, 64, kLarge, {gemm_sm90}, a10), skinny_gemm);
  EXPECT_EQ(kernel_of(float16, float16, 65, kLarge, {gemm_sm90}, a10), cublaslt);
}

TEST(ProjectionKernels, Float32HasNoSkinnyGemm) {
  EXPECT_EQ(kernel_of(float32, float32, 4), gemv);
  EXPECT_EQ(kernel_of(float32, float32, 5), reference_gemm);
  EXPECT_EQ(kernel_of(float32, float32, 32), reference_gemm);
  EXPECT_EQ(kernel_of(float32, float32, 33), cublaslt);
}

TEST(ProjectionKernels, TheNextRowTakesWhatAKernelDoesNotServe) {
  EXPECT_EQ(kernel_of(float16, float16, 1, kSmall, {gemv}), skinny_gemm);
  EXPECT_EQ(kernel_of(float16, float16, 100, kSmall, {gemm_sm90}), cublaslt);
  EXPECT_EQ(kernel_of(bfloat16, bfloat16, 5000, kLarge, {gemm_sm90}), cublaslt);
  EXPECT_EQ(kernel_of(float16, float16, 100, kSmall, {gemm_sm90, cublaslt}), skinny_gemm);
  EXPECT_EQ(kernel_of(float16, float16, 100, kSmall, {gemv, skinny_gemm, gemm_sm90, cublaslt}),
            reference_gemm);
  EXPECT_EQ(kernel_of(float32, float32, 1, kSmall, {gemv}), reference_gemm);
}

TEST(ProjectionKernels, DeterministicOnesAreChosenByTheWeightAlone) {
  const auto chosen = [](std::initializer_list<ProjectionKernel> served) {
    return find_deterministic_kernel([&](ProjectionKernel kernel) {
      return std::find(served.begin(), served.end(), kernel) != served.end();
    });
  };
  EXPECT_EQ(chosen({deterministic_gemm, gemv, skinny_gemm, cublaslt}), deterministic_gemm);
  EXPECT_EQ(chosen({gemv, cublaslt}), gemv);
  EXPECT_EQ(chosen({skinny_gemm, gemm_sm90, cublaslt}), reference_gemm);
}

TEST(ProjectionKernels, PairsOfDtypesThatDifferRunByTheReference) {
  for (const DType activation : {float32, float16, bfloat16}) {
    for (const DType stored : {float32, float16, bfloat16}) {
      if (activation == stored) continue;
      for (const std::int64_t rows : {1, 20, 1000}) {
        EXPECT_EQ(kernel_of(activation, stored, rows), reference_gemm);
      }
    }
  }
}

TEST(ProjectionKernels, WhatHasNoKernelIsRefusedWithWhatIsLegal) {
  EXPECT_QUERN_ERROR(ErrorCode::unsupported,
                     ({"3 rows of float16", "weight of int32", "float32, float16, bfloat16"}),
                     kernel_of(float16, int32, 3));
  EXPECT_QUERN_ERROR(ErrorCode::unsupported, ({"rows of int32", "expected a weight of nothing"}),
                     kernel_of(int32, float16, 3));
  EXPECT_QUERN_ERROR(ErrorCode::unsupported,
                     ({"a weight of int32", "expected float32, float16, bfloat16, uint4"}),
                     projection_layout({.stored = int32}));
  for (const DType stored : {float32, float16, bfloat16}) {
    EXPECT_EQ(projection_layout({.stored = stored}), WeightLayout::row_major);
  }
}

TEST(ProjectionKernels, W8A8KeepsItsWeightsRowMajor) {
  const WeightFormat w8a8 = {
      .stored = uint8, .scale_dtype = float32, .activation = {ActivationRounding::int8}};
  EXPECT_EQ(projection_layout(w8a8), WeightLayout::row_major);
  const auto layout_with = [&](auto change) {
    WeightFormat format = w8a8;
    change(format);
    return projection_layout(format);
  };
  EXPECT_EQ(layout_with([](WeightFormat& f) { f.has_zero_points = true; }),
            WeightLayout::row_major);
  EXPECT_EQ(layout_with([](WeightFormat& f) { f.activation = {}; }), WeightLayout::tiles);
  EXPECT_EQ(layout_with([](WeightFormat& f) { f.group_size = 128; }), WeightLayout::tiles);
  EXPECT_EQ(layout_with([](WeightFormat& f) { f.stored = uint4; }), WeightLayout::tiles);
  EXPECT_EQ(layout_with([](WeightFormat& f) { f.activation.group_size = 32; }),
            WeightLayout::tiles);
}

TEST(ProjectionKernels, QuantizedWeightsGoFromGemvOverTheirGemmToDequantizedOnes) {
  const auto kernel = [](DType activation, DType stored, WeightLayout layout, std::int64_t rows,
                         bool is_sm90 = true) {
    return find_projection_kernel(
        {activation, stored, layout, rows, kSmall}, kH200,
        [&](ProjectionKernel served) { return is_sm90 || served != quantized_gemm_sm90; });
  };
  for (const DType stored : {uint4, uint8, float8_e4m3}) {
    for (const DType activation : {float16, bfloat16}) {
      EXPECT_EQ(kernel(activation, stored, WeightLayout::tiles, 1), quantized_gemv);
      EXPECT_EQ(kernel(activation, stored, WeightLayout::tiles, 16), quantized_gemv);
      EXPECT_EQ(kernel(activation, stored, WeightLayout::tiles, 17), quantized_gemm_sm90);
      EXPECT_EQ(kernel(activation, stored, WeightLayout::tiles, 64), quantized_gemm_sm90);
      EXPECT_EQ(kernel(activation, stored, WeightLayout::tiles, 17, false), quantized_gemm);
      EXPECT_EQ(kernel(activation, stored, WeightLayout::tiles, 64, false), quantized_gemm);
      EXPECT_EQ(kernel(activation, stored, WeightLayout::tiles, 192), quantized_gemm_sm90);
      EXPECT_EQ(kernel(activation, stored, WeightLayout::tiles, 193), dequantize);
      EXPECT_EQ(kernel(activation, stored, WeightLayout::tiles, 65, false), dequantize);
      EXPECT_EQ(kernel(activation, stored, WeightLayout::row_major, 1), dequantize);
    }
    EXPECT_EQ(kernel(float32, stored, WeightLayout::tiles, 1), dequantize);
    EXPECT_EQ(projection_layout({.stored = stored, .scale_dtype = float16, .group_size = 128}),
              WeightLayout::tiles);
    EXPECT_EQ(projection_layout({.stored = stored, .scale_dtype = float16, .group_size = 24}),
              WeightLayout::row_major);
  }
}

}  // namespace
}  // namespace quern::cuda
