#include "kernels/gemm/sm90/gemm_sm90.h"

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include "backend/cuda/stream/check_cuda.h"
#include "kernels/common/errors.h"
#include "kernels/gemm/reference_gemm.h"
#include "tests/backend/conformance/backends.h"
#include "tests/backend/conformance/guarded_buffer.h"
#include "tests/kernels/gemm_sizes.h"

namespace quern::testing {
namespace {

// Every layout of the sm_90 GEMM, of which the launcher takes one. It is told of few
// multiprocessors, so that a block has several tiles. Small integers make sums exact.

constexpr std::int64_t kMostRows = 400;
constexpr std::int64_t kMostInFeatures = 840;
constexpr std::int64_t kMostWeightRows = 1200;

class GemmSm90Test : public TypedBackendTest {
 protected:
  void SetUp() override {
    TypedBackendTest::SetUp();
    if (IsSkipped()) return;
    if (!kernels::has_gemm_sm90()) GTEST_SKIP() << "no sm_90a code for this GPU";
    in_ = integers(kMostRows * kMostInFeatures, 5);
    weight_ = integers(kMostWeightRows * kMostInFeatures, 7);
  }

  void check(const GemmSizes& sizes, bool gated, bool with_bias) {
    const std::vector<float> ones(static_cast<std::size_t>(2 * sizes.out_features), 1.0f);
    const Buffer bias = backend_->allocate(ones.size() * sizeof(float), "test");
    backend_->copy_in(bias.data(), ones.data(), bias.size_bytes());
    const auto out_bytes =
        static_cast<std::size_t>(sizes.num_rows * sizes.out_features) * dtype_bytes(dtype());
    const auto epilogue_into = [&](std::byte* out) {
      kernels::Epilogue epilogue;
      if (with_bias) epilogue.bias = reinterpret_cast<const float*>(bias.data());
      epilogue.gated = gated;
      epilogue.activation = kernels::Activation::relu;
      epilogue.out = out;
      epilogue.out_features = sizes.out_features;
      epilogue.out_dtype = dtype();
      return epilogue;
    };
    const GuardedBuffer expected(*backend_, out_bytes);
    kernels::ReferenceGemmParams reference;
    reference.num_rows = sizes.num_rows;
    reference.in_features = sizes.in_features;
    reference.weight = weight_.data();
    reference.weight_dtype = dtype();
    reference.in = in_.data();
    reference.in_dtype = dtype();
    reference.epilogue = epilogue_into(expected.data());
    backend_->wait();  // copies in are on their way until then
    kernels::reference_gemm(reference, nullptr);
    const std::vector<std::byte> wanted = finished(expected);

    kernels::GemmSm90Params params;
    params.dtype = dtype();
    params.num_rows = sizes.num_rows;
    params.in_features = sizes.in_features;
    params.weight = weight_.data();
    params.in = in_.data();
    params.num_multiprocessors = kGemmMultiprocessors;
    for (const kernels::GemmSm90Layout& layout : kernels::gemm_sm90_layouts()) {
      SCOPED_TRACE(::testing::Message()
                   << sizes.num_rows << " rows, " << sizes.in_features << " -> "
                   << sizes.out_features << (gated ? ", gated" : "") << ", width " << layout.width
                   << ", pair " << layout.pair << ", splits " << layout.splits);
      const GuardedBuffer out(*backend_, out_bytes);
      params.layout = layout;
      params.epilogue = epilogue_into(out.data());
      ASSERT_TRUE(kernels::gemm_sm90_supports(params));
      backend_->wait();
      kernels::gemm_sm90(params, nullptr);
      EXPECT_EQ(finished(out), wanted);
      EXPECT_TRUE(out.guards_intact());
    }
  }

  static std::vector<std::byte> finished(const GuardedBuffer& buffer) {
    cuda::check_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    return buffer.read();
  }

  Buffer in_;
  Buffer weight_;
};

TEST_P(GemmSm90Test, EdgesOfTiles) {
  for (const std::int64_t rows : {1, 64, 65, 128, 129, 256, 257}) {
    check({rows, 256, 392}, false, true);
    check({rows, 256, 200}, true, false);
  }
}

TEST_P(GemmSm90Test, SeveralTilesOfABlock) {
  check({kMostRows, kMostInFeatures, kMostWeightRows}, false, false);
  check({kMostRows, kMostInFeatures, kMostWeightRows / 2}, true, true);
}

// Depths from four stages, which splits in four need, to more than a ring's.
TEST_P(GemmSm90Test, Depths) {
  for (const std::int64_t depth : {200, 264, 384, 448, 520}) {
    check({130, depth, 264}, false, true);
    check({130, depth, 264}, true, true);
  }
}

TEST_P(GemmSm90Test, WhatItIsNotMadeFor) {
  kernels::GemmSm90Params params;
  params.dtype = dtype();
  params.num_rows = 100;
  params.in_features = 64;
  params.epilogue.out_features = 64;
  params.epilogue.out_dtype = dtype();
  EXPECT_TRUE(kernels::gemm_sm90_supports(params));
  params.in_features = 68;
  EXPECT_FALSE(kernels::gemm_sm90_supports(params));
  params.in_features = 64;
  params.epilogue.out_features = 68;
  EXPECT_FALSE(kernels::gemm_sm90_supports(params));
  params.epilogue.out_features = 64;
  params.epilogue.out_dtype = DType::float32;
  EXPECT_FALSE(kernels::gemm_sm90_supports(params));
  params.epilogue.out_dtype = dtype();
  params.epilogue.activation = kernels::Activation::gelu;
  EXPECT_FALSE(kernels::gemm_sm90_supports(params));
  params.layout = kernels::GemmSm90Layout{.width = 64};
  EXPECT_THROW(kernels::gemm_sm90(params, nullptr), kernels::DispatchError);
}

INSTANTIATE_TEST_SUITE_P(Gpu, GemmSm90Test,
                         ::testing::Combine(::testing::ValuesIn(backends_under_test()),
                                            ::testing::Values(DType::float16, DType::bfloat16)),
                         typed_test_name);

}  // namespace
}  // namespace quern::testing
