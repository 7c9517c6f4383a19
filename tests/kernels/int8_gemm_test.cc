#include "kernels/quant/rounded/int8_gemm.h"

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "backend/cuda/stream/check_cuda.h"
#include "base/half.h"
#include "kernels/common/errors.h"
#include "kernels/quant/rounded/rounded_rows.h"
#include "tests/backend/conformance/backends.h"
#include "tests/backend/conformance/guarded_buffer.h"
#include "tests/kernels/gemm_sizes.h"

namespace quern::testing {
namespace {

// Every layout of the int8 GEMM by wgmma, of which the launcher takes one, and the GEMM by mma: the
// same integers, and so the same bits, as a loop on the host gives. The launcher is told of few
// multiprocessors, so that a block has several tiles.

class Int8GemmTest : public TypedBackendTest {
 protected:
  template <typename T>
  Buffer upload(const std::vector<T>& content) const {
    Buffer buffer = backend_->allocate(content.size() * sizeof(T), "test");
    backend_->copy_in(buffer.data(), content.data(), buffer.size_bytes());
    return buffer;
  }

  void check(const GemmSizes& sizes, bool gated, bool with_zero_points) {
    std::mt19937 engine(7);
    const std::int64_t weight_rows = gated ? 2 * sizes.out_features : sizes.out_features;
    const auto count = [](std::int64_t rows, std::int64_t cols) {
      return static_cast<std::size_t>(rows * cols);
    };
    std::vector<std::int8_t> in(count(sizes.num_rows, sizes.in_features));
    for (auto& value : in) value = static_cast<std::int8_t>(static_cast<int>(engine() % 255) - 127);
    std::vector<std::uint8_t> weight(count(weight_rows, sizes.in_features));
    for (auto& value : weight) value = static_cast<std::uint8_t>(engine());
    std::vector<std::int32_t> sums(count(sizes.num_rows, 1));
    for (std::size_t i = 0; i < in.size(); ++i) {
      sums[i / static_cast<std::size_t>(sizes.in_features)] += in[i];
    }
    // Powers of two, and a shift of all: products are exact in float32.
    const auto some_scales = [&](std::int64_t n) {
      std::vector<float> scales(count(n, 1));
      for (float& scale : scales) scale = std::ldexp(1.0f, static_cast<int>(engine() % 3) - 10);
      return scales;
    };
    const std::vector<float> row_scales = some_scales(sizes.num_rows);
    const std::vector<float> scales = some_scales(weight_rows);
    std::vector<std::uint8_t> zero_points(count(weight_rows, 1), 128);
    if (with_zero_points) {
      for (auto& value : zero_points) value = static_cast<std::uint8_t>(engine());
    }

    std::vector<float> products(count(sizes.num_rows, weight_rows));
    for (std::int64_t row = 0; row < sizes.num_rows; ++row) {
      for (std::int64_t feature = 0; feature < weight_rows; ++feature) {
        const std::int8_t* a = in.data() + row * sizes.in_features;
        const std::uint8_t* b = weight.data() + feature * sizes.in_features;
        int sum = 0;
        for (std::int64_t k = 0; k < sizes.in_features; ++k) {
          sum += a[k] * (b[k] - zero_points[static_cast<std::size_t>(feature)]);
        }
        products[count(row, weight_rows) + static_cast<std::size_t>(feature)] =
            static_cast<float>(sum) *
            (row_scales[static_cast<std::size_t>(row)] * scales[static_cast<std::size_t>(feature)]);
      }
    }
    std::vector<float> numbers;
    for (std::int64_t row = 0; row < sizes.num_rows; ++row) {
      for (std::int64_t feature = 0; feature < sizes.out_features; ++feature) {
        const std::size_t at = count(row, weight_rows) + static_cast<std::size_t>(feature);
        const float value = std::max(products[at], 0.0f);  // relu
        numbers.push_back(
            gated ? value * products[at + static_cast<std::size_t>(sizes.out_features)] : value);
      }
    }
    const std::size_t out_bytes = numbers.size() * dtype_bytes(dtype());
    std::vector<std::byte> wanted(out_bytes);
    store_floats(dtype(), numbers, wanted.data());

    const Buffer device_in = upload(in);
    const Buffer device_weight = upload(weight);
    const Buffer device_sums = upload(sums);
    const Buffer device_row_scales = upload(row_scales);
    const Buffer device_scales = upload(scales);
    const Buffer device_zero_points = upload(zero_points);
    kernels::Int8GemmParams params;
    params.in.values = reinterpret_cast<std::int8_t*>(device_in.data());
    params.in.scales = reinterpret_cast<float*>(device_row_scales.data());
    params.in.sums = reinterpret_cast<std::int32_t*>(device_sums.data());
    params.num_rows = sizes.num_rows;
    params.weight.stored = DType::uint8;
    params.weight.weight_rows = weight_rows;
    params.weight.in_features = sizes.in_features;
    params.weight.values = reinterpret_cast<std::uint8_t*>(device_weight.data());
    params.weight.scales = device_scales.data();
    params.weight.scale_dtype = DType::float32;
    if (with_zero_points) {
      params.weight.zero_points = reinterpret_cast<std::uint8_t*>(device_zero_points.data());
    }
    params.weight.group_size = sizes.in_features;
    params.weight.num_groups = 1;
    params.epilogue.gated = gated;
    params.epilogue.activation = kernels::Activation::relu;
    params.epilogue.out_features = sizes.out_features;
    params.epilogue.out_dtype = dtype();
    params.num_multiprocessors = kGemmMultiprocessors;
    const auto run = [&](const char* what, const auto& kernel) {
      SCOPED_TRACE(::testing::Message()
                   << what << ", " << sizes.num_rows << " rows, " << sizes.in_features << " -> "
                   << sizes.out_features << (gated ? ", gated" : ""));
      const GuardedBuffer out(*backend_, out_bytes);
      params.epilogue.out = out.data();
      backend_->wait();
      kernel(params, nullptr);
      cuda::check_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
      EXPECT_EQ(out.read(), wanted);
      EXPECT_TRUE(out.guards_intact());
    };
    ASSERT_TRUE(kernels::int8_gemm_supports(params));
    run("mma", kernels::int8_gemm);
    if (!kernels::has_int8_gemm_sm90() || !kernels::int8_gemm_sm90_supports(params)) return;
    for (const kernels::GemmSm90Layout& layout : kernels::int8_gemm_sm90_layouts()) {
      params.layout = layout;
      const std::string name =
          "width " + std::to_string(layout.width) + ", pair " + std::to_string(layout.pair);
      run(name.c_str(), kernels::int8_gemm_sm90);
    }
    params.layout.reset();
  }
};

TEST_P(Int8GemmTest, EdgesOfTiles) {
  for (const std::int64_t rows : {1, 16, 17, 64, 65, 128, 129, 256, 257}) {
    check({rows, 256, 392}, false, true);
    check({rows, 256, 200}, true, false);
  }
}

TEST_P(Int8GemmTest, SeveralTilesOfABlock) {
  check({400, 848, 1200}, false, false);
  check({400, 848, 600}, true, true);
}

TEST_P(Int8GemmTest, Depths) {
  for (const std::int64_t depth : {16, 112, 128, 144, 512, 640, 784, 1040}) {
    check({130, depth, 264}, false, true);
    check({20, depth, 136}, true, true);
  }
}

// The largest magnitudes of both factors over the most inputs stay within int32.
TEST_P(Int8GemmTest, TheLargestSumsAreExact) {
  const std::int64_t inputs = kernels::kMaxInt8Inputs;
  const std::vector<std::int8_t> in(static_cast<std::size_t>(inputs), -127);
  const std::vector<std::uint8_t> weight(static_cast<std::size_t>(8 * inputs), 255);
  const Buffer device_in = upload(in);
  const Buffer device_weight = upload(weight);
  const Buffer device_sums = upload(std::vector<std::int32_t>{static_cast<int>(-127 * inputs)});
  const Buffer device_scale = upload(std::vector<float>{1.0f});
  const Buffer device_scales = upload(std::vector<float>(8, 1.0f));
  const Buffer zero_points = upload(std::vector<std::uint8_t>(8, 0));
  const Buffer out = backend_->allocate(8 * sizeof(float), "test");
  kernels::Int8GemmParams params;
  params.in = {reinterpret_cast<std::int8_t*>(device_in.data()),
               reinterpret_cast<float*>(device_scale.data()),
               reinterpret_cast<std::int32_t*>(device_sums.data())};
  params.num_rows = 1;
  params.weight.stored = DType::uint8;
  params.weight.weight_rows = 8;
  params.weight.in_features = inputs;
  params.weight.values = reinterpret_cast<std::uint8_t*>(device_weight.data());
  params.weight.scales = device_scales.data();
  params.weight.scale_dtype = DType::float32;
  params.weight.zero_points = reinterpret_cast<std::uint8_t*>(zero_points.data());
  params.weight.group_size = inputs;
  params.weight.num_groups = 1;
  params.epilogue.out = out.data();
  params.epilogue.out_features = 8;
  params.epilogue.out_dtype = DType::float32;
  ASSERT_TRUE(kernels::int8_gemm_supports(params));
  backend_->wait();
  kernels::int8_gemm(params, nullptr);
  cuda::check_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  std::vector<float> results(8);
  backend_->copy_out(results.data(), out.data(), out.size_bytes());
  for (const float result : results) EXPECT_EQ(result, static_cast<float>(-127LL * 255 * inputs));
}

TEST_P(Int8GemmTest, WhatItIsNotMadeFor) {
  kernels::Int8GemmParams params;
  params.num_rows = 100;
  params.weight.stored = DType::uint8;
  params.weight.in_features = 64;
  params.weight.num_groups = 1;
  params.epilogue.out_features = 64;
  params.epilogue.out_dtype = DType::float16;
  EXPECT_TRUE(kernels::int8_gemm_supports(params));
  EXPECT_TRUE(kernels::int8_gemm_sm90_supports(params));
  params.epilogue.out_features = 68;
  EXPECT_TRUE(kernels::int8_gemm_supports(params));
  EXPECT_FALSE(kernels::int8_gemm_sm90_supports(params));
  params.epilogue.out_features = 64;
  params.epilogue.activation = kernels::Activation::gelu;
  EXPECT_FALSE(kernels::int8_gemm_sm90_supports(params));
  params.epilogue.activation = kernels::Activation::none;
  params.layout = kernels::GemmSm90Layout{.width = 64};
  if (kernels::has_int8_gemm_sm90()) {
    EXPECT_THROW(kernels::int8_gemm_sm90(params, nullptr), kernels::DispatchError);
  }
  for (const std::int64_t inputs : {std::int64_t{72}, 16 + kernels::kMaxInt8Inputs}) {
    params.weight.in_features = inputs;
    EXPECT_FALSE(kernels::int8_gemm_supports(params));
  }
  params.weight.in_features = 64;
  params.weight.num_groups = 2;
  EXPECT_FALSE(kernels::int8_gemm_supports(params));
}

INSTANTIATE_TEST_SUITE_P(Gpu, Int8GemmTest,
                         ::testing::Combine(::testing::ValuesIn(backends_under_test()),
                                            ::testing::Values(DType::float16, DType::bfloat16)),
                         typed_test_name);

}  // namespace
}  // namespace quern::testing
