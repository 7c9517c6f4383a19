#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "backend/cuda/stream/check_cuda.h"
#include "base/float8.h"
#include "base/half.h"
#include "kernels/quant/float8/float8_rows.h"
#include "tests/backend/conformance/backends.h"
#include "tests/backend/conformance/guarded_buffer.h"
#include "tests/kernels/float8_rows.h"

namespace quern::testing {
namespace {

class RoundFloat8Test : public TypedBackendTest {
 protected:
  void check(std::int64_t in_features) {
    SCOPED_TRACE(in_features);
    constexpr std::int64_t kRows = 6;
    std::mt19937 engine(5);
    std::normal_distribution<float> normal;
    std::vector<float> in(index_of(kRows, in_features, 0));
    for (float& x : in) x = normal(engine);
    const auto row_of = [&](std::int64_t row) {
      return std::span(in).subspan(index_of(row, in_features, 0),
                                   static_cast<std::size_t>(in_features));
    };
    std::ranges::fill(row_of(1), 0.0f);
    row_of(2).back() = 1000.0f;
    for (float& x : row_of(3)) x *= dtype() == DType::float16 ? 0x1p-22f : 0x1p-130f;
    row_of(4).back() = std::numeric_limits<float>::infinity();
    row_of(5).front() = std::numeric_limits<float>::quiet_NaN();
    std::vector<std::byte> stored(in.size() * dtype_bytes(dtype()));
    store_floats(dtype(), in, stored.data());
    load_floats(dtype(), stored.data(), in);

    const std::int64_t row_bytes = kernels::float8_row_bytes(in_features);
    std::vector<std::byte> values(index_of(kRows, row_bytes, 0));
    std::vector<float> scales;
    for (std::int64_t row = 0; row < kRows; ++row) {
      float largest = 0.0f;
      for (const float x : row_of(row)) largest = std::max(largest, std::abs(x));
      const bool is_finite = row < 4;
      const float scale = largest / 448.0f;
      scales.push_back(is_finite ? scale : std::numeric_limits<float>::quiet_NaN());
      for (std::int64_t k = 0; is_finite && scale > 0.0f && k < in_features; ++k) {
        values[index_of(row, row_bytes, k / kTileInputs * kTileInputs + place_of(k))] =
            std::byte{float8_e4m3_bits(row_of(row)[static_cast<std::size_t>(k)] / scale)};
      }
    }

    Buffer device_in = backend_->allocate(stored.size(), "test");
    backend_->copy_in(device_in.data(), stored.data(), stored.size());
    const GuardedBuffer out(*backend_, values.size());
    const GuardedBuffer out_scales(*backend_, kRows * sizeof(float));
    kernels::RoundFloat8Params params;
    params.dtype = dtype();
    params.in = device_in.data();
    params.num_rows = kRows;
    params.in_features = in_features;
    params.out = {reinterpret_cast<std::uint8_t*>(out.data()),
                  reinterpret_cast<float*>(out_scales.data())};
    backend_->wait();
    kernels::round_float8(params, nullptr);
    cuda::check_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    EXPECT_EQ(out.read(), values);
    const std::vector<std::byte> scale_bytes = out_scales.read();
    for (std::size_t row = 0; row < kRows; ++row) {
      float scale = 0.0f;
      std::memcpy(&scale, scale_bytes.data() + row * sizeof(float), sizeof(float));
      if (std::isnan(scales[row])) {
        EXPECT_TRUE(std::isnan(scale)) << row;
      } else {
        EXPECT_EQ(scale, scales[row]) << row;
      }
    }
    EXPECT_TRUE(out.guards_intact() && out_scales.guards_intact());
  }
};

TEST_P(RoundFloat8Test, BytesAreTheHosts) {
  for (const std::int64_t in_features : {1, 2, 37, 64, 66, 200, 1152, 4096, 5001}) {
    check(in_features);
  }
}

INSTANTIATE_TEST_SUITE_P(Gpu, RoundFloat8Test,
                         ::testing::Combine(::testing::ValuesIn(backends_under_test()),
                                            ::testing::Values(DType::float16, DType::bfloat16)),
                         typed_test_name);

}  // namespace
}  // namespace quern::testing
