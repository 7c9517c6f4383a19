#include "kernels/gemm/skinny_gemm.h"

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include "backend/cuda/stream/check_cuda.h"
#include "kernels/common/launch.h"
#include "kernels/gemm/reference_gemm.h"
#include "tests/backend/conformance/backends.h"
#include "tests/backend/conformance/guarded_buffer.h"

namespace quern::testing {
namespace {

// Every layout of the skinny GEMM on any GPU: with the number of multiprocessors set low, blocks
// have from one tile to several passes. Small integers make sums exact.

constexpr int kSkinnyMultiprocessors = 3;
constexpr int kTileRows = 8;
constexpr int kMostTiles = 61;
constexpr int kMostSkinnyRows = 70;
/// Not multiples of the tile sizes; one is smaller than a tile.
constexpr std::int64_t kMostSkinnyInputs = 600;
constexpr std::int64_t kFewInFeatures = 72;
constexpr std::int64_t kMostFeatures =
    std::int64_t{kSkinnyMultiprocessors} * kTileRows * kMostTiles;

class SkinnyGemmTest : public TypedBackendTest {
 protected:
  void SetUp() override {
    TypedBackendTest::SetUp();
    if (IsSkipped()) return;
    in_ = integers(kMostSkinnyRows * kMostSkinnyInputs, 5);
    weight_ = integers(kMostFeatures * kMostSkinnyInputs, 7);
  }

  kernels::Epilogue epilogue(std::int64_t out_features, bool gated, const Buffer& bias,
                             std::byte* out) const {
    kernels::Epilogue epilogue;
    epilogue.bias = reinterpret_cast<const float*>(bias.data());
    epilogue.gated = gated;
    epilogue.out = out;
    epilogue.out_features = out_features;
    epilogue.out_dtype = DType::float32;
    return epilogue;
  }

  void check(std::int64_t in_features, std::int64_t out_features, bool gated) {
    const std::vector<float> ones(static_cast<std::size_t>(2 * out_features), 1.0f);
    const Buffer bias = backend_->allocate(ones.size() * sizeof(float), "test");
    backend_->copy_in(bias.data(), ones.data(), bias.size_bytes());
    const auto row_bytes = static_cast<std::size_t>(out_features) * sizeof(float);
    const GuardedBuffer expected(*backend_, kMostSkinnyRows * row_bytes);
    kernels::ReferenceGemmParams plain;
    plain.num_rows = kMostSkinnyRows;
    plain.in_features = in_features;
    plain.weight = weight_.data();
    plain.weight_dtype = dtype();
    plain.in = in_.data();
    plain.in_dtype = dtype();
    plain.epilogue = epilogue(out_features, gated, bias, expected.data());
    backend_->wait();  // copies in are asynchronous
    kernels::reference_gemm(plain, nullptr);
    const std::vector<std::byte> all_rows = finished(expected);

    kernels::SkinnyGemmParams params;
    params.dtype = dtype();
    params.in_features = in_features;
    params.weight = weight_.data();
    params.in = in_.data();
    params.num_multiprocessors = kSkinnyMultiprocessors;
    for (const int rows : {3, 16, 17, 32, 33, kMostSkinnyRows}) {
      for (const std::size_t shared : {kernels::kMaxSharedBytes, params.most_shared_bytes}) {
        SCOPED_TRACE(::testing::Message()
                     << rows << " rows, " << in_features << " -> " << out_features << ", "
                     << (gated ? "gated, " : "") << shared << " bytes");
        const GuardedBuffer out(*backend_, static_cast<std::size_t>(rows) * row_bytes);
        params.num_rows = rows;
        params.most_shared_bytes = shared;
        params.epilogue = epilogue(out_features, gated, bias, out.data());
        backend_->wait();
        kernels::skinny_gemm(params, nullptr);
        const std::vector<std::byte> actual = finished(out);
        EXPECT_TRUE(out.guards_intact());
        EXPECT_TRUE(std::equal(actual.begin(), actual.end(), all_rows.begin()));
      }
    }
  }

  void check_tiles(std::initializer_list<int> counts) {
    for (const int tiles : counts) {
      const std::int64_t weight_rows = std::int64_t{kSkinnyMultiprocessors} * kTileRows * tiles;
      check(kMostSkinnyInputs, weight_rows - 5, false);
      check(kMostSkinnyInputs, weight_rows / 2 - 1, true);
      check(kFewInFeatures, weight_rows - 5, false);
      if (HasFailure()) return;
    }
  }

  static std::vector<std::byte> finished(const GuardedBuffer& buffer) {
    cuda::check_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    return buffer.read();
  }

  Buffer in_;
  Buffer weight_;
};

TEST_P(SkinnyGemmTest, FewTiles) { check_tiles({1, 2, 3, 4, 5, 6, 7, 8}); }

TEST_P(SkinnyGemmTest, TilesOfOneBand) {
  check_tiles({9, 11, 12, 13, 14, 15, 16, 17, 19, 20, 21, 24, 25, 26, 28});
}

TEST_P(SkinnyGemmTest, TilesOfSeveralBands) { check_tiles({29, 31, 32, 33, 41, 50, kMostTiles}); }

INSTANTIATE_TEST_SUITE_P(Gpu, SkinnyGemmTest,
                         ::testing::Combine(::testing::ValuesIn(backends_under_test()),
                                            ::testing::Values(DType::float16, DType::bfloat16)),
                         typed_test_name);

}  // namespace
}  // namespace quern::testing
