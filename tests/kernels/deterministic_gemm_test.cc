#include "kernels/gemm/deterministic_gemm.h"

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "backend/cuda/stream/check_cuda.h"
#include "kernels/gemm/reference_gemm.h"
#include "tests/backend/conformance/backends.h"
#include "tests/backend/conformance/guarded_buffer.h"

namespace quern::testing {
namespace {

// With the number of multiprocessors set low, blocks have from one tile to several passes.
constexpr int kMultiprocessors = 3;
constexpr int kTileRows = 8;
constexpr int kRows = 70;
constexpr std::int64_t kInFeatures = 600;  // not a multiple of the tile sizes

class DeterministicGemmTest : public TypedBackendTest {
 protected:
  /// Numbers whose sums round, so that another order has other bits.
  Buffer numbers(std::int64_t count, DType type, std::uint32_t seed) const {
    std::mt19937 engine(seed);
    std::normal_distribution<float> normal;
    std::vector<float> values(static_cast<std::size_t>(count));
    for (float& value : values) value = normal(engine);
    std::vector<std::byte> content(values.size() * dtype_bytes(type));
    store_floats(type, values, content.data());
    Buffer buffer = backend_->allocate(content.size(), "test");
    backend_->copy_in(buffer.data(), content.data(), content.size());
    return buffer;
  }

  kernels::DeterministicGemmParams params(const Buffer& in, const Buffer& weight, int first_row,
                                          int num_rows, std::int64_t out_features, bool gated) {
    kernels::DeterministicGemmParams params;
    params.dtype = dtype();
    params.num_rows = num_rows;
    params.in_features = kInFeatures;
    params.weight = weight.data();
    params.in = in.data() + first_row * kInFeatures * std::int64_t{2};
    params.num_multiprocessors = kMultiprocessors;
    params.epilogue.gated = gated;
    params.epilogue.out_features = out_features;
    params.epilogue.out_dtype = DType::float32;
    return params;
  }

  std::vector<std::byte> run(kernels::DeterministicGemmParams params) {
    const GuardedBuffer out(
        *backend_,
        static_cast<std::size_t>(params.num_rows * params.epilogue.out_features) * sizeof(float));
    params.epilogue.out = out.data();
    backend_->wait();  // copies in are asynchronous
    kernels::deterministic_gemm(params, nullptr);
    cuda::check_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    EXPECT_TRUE(out.guards_intact());
    return out.read();
  }

  void check_rows(int tiles, bool gated) {
    const std::int64_t weight_rows = std::int64_t{kMultiprocessors} * kTileRows * tiles;
    const std::int64_t out_features = gated ? weight_rows / 2 - 1 : weight_rows - 5;
    const Buffer in = numbers(kRows * kInFeatures, dtype(), 3);
    const Buffer weight = numbers(weight_rows * kInFeatures, dtype(), 5);
    const auto all = run(params(in, weight, 0, kRows, out_features, gated));
    const auto row_bytes = static_cast<std::ptrdiff_t>(out_features) * 4;
    for (const auto& [first, count] :
         {std::pair{0, 1}, {69, 1}, {5, 3}, {7, 16}, {1, 17}, {30, 32}, {2, 33}, {6, 64}}) {
      SCOPED_TRACE(::testing::Message() << tiles << " tiles, rows " << first << " and " << count - 1
                                        << " more" << (gated ? ", gated" : ""));
      const auto some = run(params(in, weight, first, count, out_features, gated));
      EXPECT_TRUE(std::equal(some.begin(), some.end(), all.begin() + first * row_bytes));
    }
  }
};

TEST_P(DeterministicGemmTest, ARowHasTheSameBitsAmongAnyRows) {
  for (const int tiles : {1, 2, 3, 5, 6, 7, 9, 12, 13, 16, 17, 21, 24, 25, 28, 29, 32, 33, 50}) {
    check_rows(tiles, false);
    check_rows(tiles, true);
    if (HasFailure()) return;
  }
}

TEST_P(DeterministicGemmTest, SumsOfIntegersAreExact) {
  for (const int tiles : {1, 4, 11, 15, 30, 61}) {
    const std::int64_t out_features = std::int64_t{kMultiprocessors} * kTileRows * tiles - 5;
    const Buffer in = integers(kRows * kInFeatures, 5);
    const Buffer weight = integers(out_features * kInFeatures, 7);
    const GuardedBuffer out(*backend_, static_cast<std::size_t>(kRows * out_features) * 4);
    kernels::ReferenceGemmParams reference;
    reference.num_rows = kRows;
    reference.in_features = kInFeatures;
    reference.weight = weight.data();
    reference.weight_dtype = dtype();
    reference.in = in.data();
    reference.in_dtype = dtype();
    reference.epilogue.out = out.data();
    reference.epilogue.out_features = out_features;
    backend_->wait();
    kernels::reference_gemm(reference, nullptr);
    cuda::check_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    for (const int rows : {1, 20, kRows}) {
      const auto actual = run(params(in, weight, 0, rows, out_features, false));
      EXPECT_TRUE(std::equal(actual.begin(), actual.end(), out.read().begin()))
          << tiles << " tiles, " << rows << " rows";
    }
  }
}

TEST_P(DeterministicGemmTest, AFusedNormHasTheBitsOfASeparateOne) {
  const Buffer residual = numbers(kRows * kInFeatures, DType::float32, 11);
  const Buffer delta = numbers(kRows * kInFeatures, dtype(), 12);
  const Buffer gain = numbers(kInFeatures, DType::float32, 13);
  const Buffer normed = backend_->allocate(kRows * kInFeatures * 2, "test");
  for (const int tiles : {1, 6, 10, 20, 40}) {
    const std::int64_t out_features = std::int64_t{kMultiprocessors} * kTileRows * tiles;
    const Buffer weight = numbers(out_features * kInFeatures, dtype(), 15);
    for (const kernels::NormKind kind : {kernels::NormKind::rms, kernels::NormKind::layer}) {
      kernels::NormParams norm;
      norm.input = {.dtype = dtype(),
                    .residual = reinterpret_cast<const float*>(residual.data()),
                    .delta = delta.data(),
                    .in_features = kInFeatures,
                    .kind = kind,
                    .epsilon = 1e-5f,
                    .gain = reinterpret_cast<const float*>(gain.data())};
      norm.num_rows = kRows;
      norm.out = normed.data();
      norm.deterministic = true;
      backend_->wait();
      kernels::norm(norm, nullptr);
      const auto all = run(params(normed, weight, 0, kRows, out_features, false));
      auto fused = params(normed, weight, 0, 1, out_features, false);
      fused.in = nullptr;
      fused.norm = norm.input;
      ASSERT_TRUE(kernels::deterministic_gemm_fuses_norm(fused));
      const auto one = run(fused);
      EXPECT_TRUE(std::equal(one.begin(), one.end(), all.begin())) << tiles << " tiles";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Gpu, DeterministicGemmTest,
                         ::testing::Combine(::testing::ValuesIn(backends_under_test()),
                                            ::testing::Values(DType::float16, DType::bfloat16)),
                         typed_test_name);

}  // namespace
}  // namespace quern::testing
