#include "backend/cuda/ops/rounded_projection.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace quern::cuda {
namespace {

using enum ProjectionKernel;

/// What the backend finds on GPUs of each kind, with code for them.
OpContext sm80() { return {}; }
OpContext sm89() {
  OpContext context;
  context.float8_gemm_rows = std::numeric_limits<std::int64_t>::max();
  return context;
}
OpContext sm90() {
  OpContext context;
  context.float8_gemm_rows = 16;
  context.sm90_float8_gemm = true;
  return context;
}
/// As sm_100, or sm_90 without code for sm_90a.
OpContext without_wgmma() {
  OpContext context = sm90();
  context.sm90_float8_gemm = false;
  return context;
}

/// A projection of E4M3 rows by an E4M3 weight; nothing of it is read.
struct Float8Case {
  std::int64_t num_rows = 1;
  std::int64_t out_features = 64;
  DType dtype = DType::float16;
  kernels::Activation activation = kernels::Activation::none;
  std::int64_t group_size = 0;  ///< of the inputs' scales

  ProjectionKernel kernel_on(const OpContext& context) const {
    const WeightFormat format = {
        .stored = DType::float8_e4m3,
        .scale_dtype = DType::float32,
        .activation = {ActivationRounding::float8_e4m3, group_size},
    };
    const WeightShape shape = {out_features, 256};
    std::vector<std::byte> bytes(storage_bytes(format, shape, WeightLayout::tiles));
    const Weight weight = view_weight(format, shape, WeightLayout::tiles, bytes.data(), {});
    Projection projection;
    projection.in_dtype = dtype;
    projection.num_rows = num_rows;
    projection.weight = &weight;
    projection.epilogue.out_features = out_features;
    projection.epilogue.out_dtype = dtype;
    projection.epilogue.activation = activation;
    return rounded_projection_kernel(projection, context);
  }
};

TEST(RoundedProjection, Float8RowsTakeTheMmaOfTheirGpu) {
  for (const DType dtype : {DType::float16, DType::bfloat16}) {
    for (const std::int64_t rows : {1, 16, 17, 64, 65, 2048}) {
      const Float8Case projection = {.num_rows = rows, .dtype = dtype};
      EXPECT_EQ(projection.kernel_on(sm80()), round_numbers) << rows;
      EXPECT_EQ(projection.kernel_on(sm89()), float8_gemm) << rows;
      EXPECT_EQ(projection.kernel_on(sm90()), rows <= 16 ? float8_gemm : float8_gemm_sm90) << rows;
      EXPECT_EQ(projection.kernel_on(without_wgmma()), rows <= 16 ? float8_gemm : round_numbers)
          << rows;
    }
  }
}

TEST(RoundedProjection, WhatWgmmaDoesNotStoreTakesTheMmaOfE4M3Alone) {
  const Float8Case odd = {.num_rows = 100, .out_features = 65};
  const Float8Case gelu = {.num_rows = 100, .activation = kernels::Activation::gelu};
  for (const Float8Case& projection : {odd, gelu}) {
    EXPECT_EQ(projection.kernel_on(sm89()), float8_gemm);
    EXPECT_EQ(projection.kernel_on(sm90()), round_numbers);
  }
}

TEST(RoundedProjection, Float32AndGroupsOfInputsAreRoundedAsNumbers) {
  for (const std::int64_t rows : {1, 100}) {
    const Float8Case in_float32 = {.num_rows = rows, .dtype = DType::float32};
    const Float8Case in_groups = {.num_rows = rows, .group_size = 128};
    for (const OpContext& context : {sm89(), sm90()}) {
      EXPECT_EQ(in_float32.kernel_on(context), round_numbers);
      EXPECT_EQ(in_groups.kernel_on(context), round_numbers);
    }
  }
}

}  // namespace
}  // namespace quern::cuda
