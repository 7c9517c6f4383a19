#include "kernels/quant/float8/float8_gemm.h"

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <random>
#include <string>

#include "backend/cuda/stream/check_cuda.h"
#include "base/float8.h"
#include "base/half.h"
#include "compare/bounds.h"
#include "kernels/common/errors.h"
#include "tests/backend/conformance/backends.h"
#include "tests/backend/conformance/guarded_buffer.h"
#include "tests/kernels/float8_rows.h"
#include "tests/kernels/gemm_sizes.h"

namespace quern::testing {
namespace {

// The GEMMs of E4M3, by mma and in every layout of the one by wgmma, against products on the host:
// to the bit where the tensor cores' sums are exact, within the bounds of ADR 0024 elsewhere. The
// launcher is told of few multiprocessors, so that a block has several tiles.

/// Numbers of E4M3, [rows, cols].
struct Numbers {
  std::int64_t rows;
  std::int64_t cols;
  std::vector<float> values;

  template <typename Draw>
  Numbers(std::int64_t num_rows, std::int64_t num_cols, const Draw& draw)
      : rows(num_rows), cols(num_cols), values(index_of(num_rows, num_cols, 0)) {
    for (float& value : values) value = round_to_float8_e4m3(draw());
  }

  float at(std::int64_t row, std::int64_t col) const { return values[index_of(row, cols, col)]; }

  /// As Float8Rows has them.
  std::vector<std::uint8_t> as_rows() const {
    const std::int64_t bytes = kernels::float8_row_bytes(cols);
    std::vector<std::uint8_t> result(index_of(rows, bytes, 0));
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t k = 0; k < cols; ++k) {
        result[index_of(row, bytes, k / kTileInputs * kTileInputs + place_of(k))] =
            float8_e4m3_bits(at(row, k));
      }
    }
    return result;
  }

  /// In tiles.
  std::vector<std::uint8_t> as_tiles() const {
    const std::int64_t tiles = (cols + kTileInputs - 1) / kTileInputs;
    const std::int64_t tile_rows = 2 * ((rows + 2 * kTileRows - 1) / (2 * kTileRows));
    std::vector<std::uint8_t> result(index_of(tile_rows, tiles * 512, 0));
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t k = 0; k < cols; ++k) {
        const std::int64_t tile = row / kTileRows * tiles + k / kTileInputs;
        result[index_of(tile, 512, row % kTileRows * 64 + place_of(k))] =
            float8_e4m3_bits(at(row, k));
      }
    }
    return result;
  }
};

/// A kernel, and its layout where it has several.
struct Float8Gemm {
  std::string name;
  void (*run)(const kernels::Float8GemmParams&, cudaStream_t);
  std::optional<kernels::GemmSm90Layout> layout = std::nullopt;
};

/// Those that this GPU runs with these parameters.
std::vector<Float8Gemm> gemms_of(const kernels::Float8GemmParams& params) {
  std::vector<Float8Gemm> gemms;
  if (kernels::has_float8_gemm() && kernels::float8_gemm_supports(params)) {
    gemms.push_back({"mma", kernels::float8_gemm});
  }
  if (!kernels::has_float8_gemm_sm90() || !kernels::float8_gemm_sm90_supports(params)) return gemms;
  for (const kernels::GemmSm90Layout& layout : kernels::float8_gemm_sm90_layouts()) {
    gemms.push_back(
        {"wgmma of width " + std::to_string(layout.width) + ", pair " + std::to_string(layout.pair),
         kernels::float8_gemm_sm90, layout});
  }
  return gemms;
}

class Float8GemmTest : public TypedBackendTest {
 protected:
  void SetUp() override {
    TypedBackendTest::SetUp();
    if (IsSkipped()) return;
    if (!kernels::has_float8_gemm() && !kernels::has_float8_gemm_sm90()) {
      GTEST_SKIP() << "no code for sm_89 and newer, or not its GPU";
    }
  }

  template <typename T>
  Buffer upload(const std::vector<T>& content) const {
    Buffer buffer = backend_->allocate(content.size() * sizeof(T), "test");
    backend_->copy_in(buffer.data(), content.data(), buffer.size_bytes());
    return buffer;
  }

  /// body(name of the kernel, the output's bytes) for each kernel, with relu or without activation.
  template <typename Body>
  void run(const Numbers& in, const Numbers& weight, const std::vector<float>& row_scales,
           const std::vector<float>& scales, const kernels::Epilogue& epilogue, const Body& body) {
    const Buffer device_in = upload(in.as_rows());
    const Buffer device_weight = upload(weight.as_tiles());
    const Buffer device_row_scales = upload(row_scales);
    const Buffer device_scales = upload(scales);
    kernels::Float8GemmParams params;
    params.in = {reinterpret_cast<std::uint8_t*>(device_in.data()),
                 reinterpret_cast<float*>(device_row_scales.data())};
    params.num_rows = in.rows;
    params.weight.stored = DType::float8_e4m3;
    params.weight.is_tiled = true;
    params.weight.weight_rows = weight.rows;
    params.weight.in_features = weight.cols;
    params.weight.values = reinterpret_cast<std::uint8_t*>(device_weight.data());
    params.weight.scales = device_scales.data();
    params.weight.scale_dtype = DType::float32;
    params.weight.group_size = (weight.cols + 63) / 64 * 64;
    params.weight.num_groups = 1;
    params.epilogue = epilogue;
    params.epilogue.out_dtype = dtype();
    params.num_multiprocessors = kGemmMultiprocessors;
    const std::vector<Float8Gemm> gemms = gemms_of(params);
    ASSERT_FALSE(gemms.empty());
    for (const Float8Gemm& gemm : gemms) {
      params.layout = gemm.layout;
      SCOPED_TRACE(::testing::Message()
                   << gemm.name << ", " << in.rows << " rows, " << in.cols << " -> "
                   << epilogue.out_features << (epilogue.gated ? ", gated" : ""));
      const GuardedBuffer out(*backend_,
                              index_of(in.rows, epilogue.out_features, 0) * dtype_bytes(dtype()));
      params.epilogue.out = out.data();
      backend_->wait();
      gemm.run(params, nullptr);
      cuda::check_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
      body(gemm.name, out.read());
      EXPECT_TRUE(out.guards_intact());
    }
  }

  /// Small integers, whose sums of 128 products have fewer than 13 bits, and scales that are powers
  /// of two: every order of sums gives the same bits.
  void check_exact(std::int64_t num_rows, std::int64_t in_features, std::int64_t out_features,
                   bool gated, bool with_bias = false) {
    std::mt19937 engine(7);
    const auto small = [&] { return static_cast<float>(engine() % 7) - 3.0f; };
    const std::int64_t weight_rows = gated ? 2 * out_features : out_features;
    const Numbers in(num_rows, in_features, small);
    const Numbers weight(weight_rows, in_features, small);
    const auto some_scales = [&](std::int64_t count) {
      std::vector<float> scales(static_cast<std::size_t>(count));
      for (float& scale : scales) scale = std::ldexp(1.0f, static_cast<int>(engine() % 3) - 5);
      return scales;
    };
    const std::vector<float> row_scales = some_scales(num_rows);
    const std::vector<float> scales = some_scales(weight_rows);
    std::vector<float> bias(static_cast<std::size_t>(weight_rows), 0.0f);
    if (with_bias) {
      for (float& own : bias) own = 0x1p-6f * small();
    }
    const auto product = [&](std::int64_t row, std::int64_t feature) {
      int sum = 0;
      for (std::int64_t k = 0; k < in_features; ++k) {
        sum += static_cast<int>(in.at(row, k)) * static_cast<int>(weight.at(feature, k));
      }
      const auto index = static_cast<std::size_t>(feature);
      return static_cast<float>(sum) * (row_scales[static_cast<std::size_t>(row)] * scales[index]) +
             bias[index];
    };
    std::vector<float> numbers;
    for (std::int64_t row = 0; row < num_rows; ++row) {
      for (std::int64_t feature = 0; feature < out_features; ++feature) {
        const float value = std::max(product(row, feature), 0.0f);  // relu
        numbers.push_back(gated ? value * product(row, out_features + feature) : value);
      }
    }
    std::vector<std::byte> wanted(numbers.size() * dtype_bytes(dtype()));
    store_floats(dtype(), numbers, wanted.data());
    kernels::Epilogue epilogue;
    epilogue.gated = gated;
    epilogue.activation = kernels::Activation::relu;
    epilogue.out_features = out_features;
    const Buffer device_bias = upload(bias);
    if (with_bias) epilogue.bias = reinterpret_cast<const float*>(device_bias.data());
    run(in, weight, row_scales, scales, epilogue,
        [&](const std::string&, const std::vector<std::byte>& out) { EXPECT_EQ(out, wanted); });
  }

  /// The products of numbers whose sums are rounded: the largest error as a share of its bound, and
  /// the mean square one of what the bound of a row's NMSE allows.
  void check_bounds(const char* name, const Numbers& in, const Numbers& weight,
                    bool independent_signs) {
    const std::int64_t out_features = weight.rows;
    kernels::Epilogue epilogue;
    epilogue.out_features = out_features;
    const double dtype_step = dtype() == DType::float16 ? 0x1p-11 : 0x1p-8;
    // Products far from the largest and smallest numbers of float16.
    const float scale = 0x1p-12f;
    run(in, weight, std::vector<float>(static_cast<std::size_t>(in.rows), 1.0f),
        std::vector<float>(static_cast<std::size_t>(weight.rows), scale), epilogue,
        [&](const std::string& gemm, const std::vector<std::byte>& bytes) {
          std::vector<float> out(bytes.size() / dtype_bytes(dtype()));
          load_floats(dtype(), bytes.data(), out);
          double worst = 0.0;
          double square_error = 0.0;
          double allowed = 0.0;
          for (std::int64_t row = 0; row < in.rows; ++row) {
            for (std::int64_t feature = 0; feature < out_features; ++feature) {
              double sum = 0.0;
              double size_square = 0.0;
              double in_square = 0.0;
              double weight_square = 0.0;
              for (std::int64_t k = 0; k < in.cols; ++k) {
                const double x = in.at(row, k);
                const double w = weight.at(feature, k);
                sum += x * w;
                size_square += x * x * w * w;
                in_square += x * x;
                weight_square += w * w;
              }
              const double error = double{out[index_of(row, out_features, feature)]} / scale - sum;
              const double rounded = dtype_step * std::abs(sum);
              const double bound = kFloat8SumError * std::sqrt(in_square * weight_square) + rounded;
              worst = std::max(worst, std::abs(error) / bound);
              square_error += error * error;
              allowed += kFloat8SumVariance * size_square + rounded * rounded / 3.0;
            }
          }
          EXPECT_LE(worst, 1.0) << name;
          if (independent_signs) {
            EXPECT_LE(square_error, allowed) << name;
          }
          RecordProperty(std::string(name) + ", " + std::to_string(in.rows) + " rows, " + gemm,
                         std::to_string(worst) + " of the bound, " +
                             std::to_string(square_error / allowed) + " of the variance");
        });
  }
};

TEST_P(Float8GemmTest, EveryNumberOfRowsOfABatch) {
  for (std::int64_t rows = 1; rows <= 64; ++rows) {
    check_exact(rows, 320, 72, rows % 2 == 0, rows % 3 == 0);
  }
}

TEST_P(Float8GemmTest, OddNumbersOfFeatures) {
  for (const std::int64_t rows : {1, 15, 40, 150}) {
    for (const std::int64_t features : {1, 3, 34, 63, 129, 260}) {
      check_exact(rows, 192, features, false, features % 2 == 1);
      check_exact(rows, 192, features, true, features % 2 == 0);
    }
  }
}

TEST_P(Float8GemmTest, EdgesOfTiles) {
  for (const std::int64_t rows : {1, 16, 64, 65, 128, 129, 256, 257}) {
    check_exact(rows, 256, 392, false);
    check_exact(rows, 256, 200, true);
  }
}

TEST_P(Float8GemmTest, SeveralTilesOfABlock) {
  check_exact(400, 848, 1200, false);
  check_exact(400, 848, 600, true);
}

TEST_P(Float8GemmTest, Depths) {
  for (const std::int64_t depth : {1, 16, 37, 64, 65, 112, 128, 144, 192, 512, 640, 784, 1041}) {
    check_exact(130, depth, 264, false);
    check_exact(20, depth, 136, true);
    check_exact(5, depth, 40, false, true);
  }
}

TEST_P(Float8GemmTest, SumsAreWithinTheirBounds) {
  std::mt19937 engine(3);
  std::normal_distribution<float> normal;
  const auto draw = [&] { return 100.0f * normal(engine); };
  check_bounds("normal", {136, 1024, draw}, {264, 1024, draw}, true);
  // Products of magnitudes far apart, whose small ones a sum of few bits loses.
  const auto uneven = [&] {
    return std::ldexp(normal(engine), static_cast<int>(engine() % 14) - 6);
  };
  check_bounds("uneven", {136, 1024, uneven}, {264, 1024, uneven}, true);
  for (const std::int64_t rows : {12, 40}) {
    check_bounds("normal", {rows, 1024, draw}, {264, 1024, draw}, true);
    check_bounds("uneven", {rows, 1024, uneven}, {264, 1024, uneven}, true);
  }
  // Large products that cancel among small ones.
  int index = 0;
  const auto cancelling = [&] {
    const int k = index++ % 128;
    return k == 5 ? 448.0f : k == 70 ? -448.0f : 1.0f + std::abs(normal(engine));
  };
  const Numbers in(136, 1024, cancelling);
  index = 0;
  const auto alike = [&] {
    const int k = index++ % 128;
    return k == 5 || k == 70 ? 448.0f : 1.0f;
  };
  check_bounds("cancelling", in, {264, 1024, alike}, false);
}

TEST_P(Float8GemmTest, ARowThatIsNotFiniteIsNaNAlone) {
  const auto one = [] { return 1.0f; };
  const Numbers in(130, 64, one);
  std::vector<float> row_scales(130, 1.0f);
  row_scales[3] = std::numeric_limits<float>::quiet_NaN();
  kernels::Epilogue epilogue;
  epilogue.out_features = 16;
  run(in, {16, 64, one}, row_scales, std::vector<float>(16, 1.0f), epilogue,
      [&](const std::string&, const std::vector<std::byte>& bytes) {
        std::vector<float> out(130 * 16);
        load_floats(dtype(), bytes.data(), out);
        for (std::size_t i = 0; i < out.size(); ++i) {
          if (i / 16 == 3) {
            EXPECT_TRUE(std::isnan(out[i]));
          } else {
            EXPECT_EQ(out[i], 64.0f);
          }
        }
      });
}

TEST_P(Float8GemmTest, WhatItIsNotMadeFor) {
  kernels::Float8GemmParams params;
  params.num_rows = 200;
  params.weight.stored = DType::float8_e4m3;
  params.weight.is_tiled = true;
  params.weight.in_features = 37;
  params.weight.num_groups = 1;
  params.epilogue.out_features = 64;
  params.epilogue.out_dtype = dtype();
  struct Support {
    bool mma;
    bool wgmma;
    bool operator==(const Support&) const = default;
  };
  const auto with = [&](auto change) {
    kernels::Float8GemmParams changed = params;
    change(changed);
    return Support{kernels::float8_gemm_supports(changed),
                   kernels::float8_gemm_sm90_supports(changed)};
  };
  constexpr Support kBoth = {true, true};
  constexpr Support kMma = {true, false};
  constexpr Support kNone = {false, false};
  EXPECT_EQ(with([](auto&) {}), kBoth);
  EXPECT_EQ(with([](auto& p) { p.weight.stored = DType::uint8; }), kNone);
  EXPECT_EQ(with([](auto& p) { p.weight.is_tiled = false; }), kNone);
  EXPECT_EQ(with([](auto& p) { p.weight.num_groups = 2; }), kNone);
  EXPECT_EQ(with([](auto& p) { p.epilogue.out_features = 68; }), kMma);
  EXPECT_EQ(with([](auto& p) { p.epilogue.out_dtype = DType::float32; }), kMma);
  EXPECT_EQ(with([](auto& p) { p.epilogue.activation = kernels::Activation::gelu; }), kMma);
  EXPECT_EQ(with([](auto& p) { p.epilogue.activation = kernels::Activation::mish; }), kNone);
  if (!kernels::has_float8_gemm_sm90()) return;
  params.layout = kernels::GemmSm90Layout{.width = 256};
  EXPECT_THROW(kernels::float8_gemm_sm90(params, nullptr), kernels::DispatchError);
}

INSTANTIATE_TEST_SUITE_P(Gpu, Float8GemmTest,
                         ::testing::Combine(::testing::ValuesIn(backends_under_test()),
                                            ::testing::Values(DType::float16, DType::bfloat16)),
                         typed_test_name);

}  // namespace
}  // namespace quern::testing
