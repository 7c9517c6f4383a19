#include "backend/cpu/gemm/vector_kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "backend/cpu/gemm/gemm.h"
#include "backend/cpu/views.h"
#include "base/half.h"
#include "tests/backend/conformance/expect_close.h"
#include "tests/backend/conformance/step_harness.h"
#include "tests/weights/quantized_weight.h"

namespace quern::cpu {
namespace {

using testing::random_floats;
using testing::rounded;

struct KernelsUnderTest {
  const char* name;
  const VectorKernels* kernels;
};

void PrintTo(const KernelsUnderTest& kernels, std::ostream* stream) { *stream << kernels.name; }

class VectorKernelsTest : public ::testing::TestWithParam<KernelsUnderTest> {
 protected:
  void SetUp() override {
    if (GetParam().kernels == nullptr) GTEST_SKIP() << "this machine has none";
  }
  const VectorKernels& kernels() const { return *GetParam().kernels; }
};

/// A matrix whose row stride exceeds its row length; the gaps hold NaN.
struct Strided {
  Strided(DType dtype, std::int64_t rows, std::int64_t cols, const std::vector<float>& content)
      : stride(cols + 3), bytes(static_cast<std::size_t>(rows * stride) * dtype_bytes(dtype)) {
    std::vector<float> padded(static_cast<std::size_t>(rows * stride), std::nanf(""));
    for (std::int64_t i = 0; i < rows * cols && !content.empty(); ++i) {
      padded[static_cast<std::size_t>(i / cols * stride + i % cols)] =
          content[static_cast<std::size_t>(i)];
    }
    store_floats(dtype, padded, bytes.data());
    view = {bytes.data(), rows, cols, stride, dtype, Device{}};
  }
  Strided(const Strided&) = delete;
  Strided& operator=(const Strided&) = delete;

  std::int64_t stride;
  std::vector<std::byte> bytes;
  Tensor view;
};

/// dot_quantized() has the bits of dot_rows() with dequantized rows.
void expect_bits_of_dequantized(const VectorKernels& kernels, const Weight& weight,
                                std::int64_t rows) {
  SCOPED_TRACE(format_name(weight.format) + ", rows " + std::to_string(rows));
  constexpr std::int64_t kFirst = 3;
  const std::int64_t cols = weight.out_features - kFirst;
  const Strided a(DType::float32, rows, weight.in_features,
                  random_floats(static_cast<std::size_t>(rows * weight.in_features), 7));
  std::vector<float> numbers(static_cast<std::size_t>(cols * weight.in_features));
  const Tensor dequantized = float_view(numbers.data(), cols, weight.in_features);
  for (std::int64_t i = 0; i < cols; ++i) {
    dequantize_row(weight, kFirst + i, float_row(dequantized, i));
  }
  const Strided expected(DType::float32, rows, cols, {});
  const Strided found(DType::float32, rows, cols, {});
  kernels.dot_rows(a.view, dequantized, expected.view, true);
  ASSERT_TRUE(kernels.dot_quantized(a.view, weight, kFirst, found.view));
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < cols; ++c) {
      const float value = found.view.row<float>(r)[c];
      const float reference = expected.view.row<float>(r)[c];
      if (std::isnan(reference)) {
        ASSERT_TRUE(std::isnan(value)) << r << ", " << c;
      } else {
        ASSERT_EQ(value, reference) << r << ", " << c;
      }
    }
  }
}

TEST_P(VectorKernelsTest, DotQuantizedHasTheBitsOfDequantizedRows) {
  if (kernels().dot_quantized == nullptr) GTEST_SKIP() << "these kernels read no quantized weight";
  constexpr WeightShape kShape = {14, 288};
  for (const DType stored : {DType::uint4, DType::uint8, DType::float8_e4m3}) {
    for (const DType scales : {DType::float16, DType::bfloat16, DType::float32}) {
      for (const std::int64_t group : {0, 16, 32, 128}) {
        for (const bool zero_points : {false, true}) {
          if (zero_points && stored == DType::float8_e4m3) continue;
          const WeightFormat format = {.stored = stored,
                                       .scale_dtype = scales,
                                       .group_size = group,
                                       .group_rows = group == 32 ? 4 : 1,
                                       .has_zero_points = zero_points};
          const testing::RandomQuantizedWeight weight(format, kShape, 5);
          for (const std::int64_t rows : {0, 1, 2, 3, 4, 7}) {
            expect_bits_of_dequantized(kernels(), weight.weight(), rows);
          }
        }
      }
    }
  }
}

TEST_P(VectorKernelsTest, DotQuantizedKnowsEveryFloat8) {
  if (kernels().dot_quantized == nullptr) GTEST_SKIP() << "these kernels read no quantized weight";
  const WeightFormat format = {.stored = DType::float8_e4m3, .scale_dtype = DType::float32};
  testing::RandomQuantizedWeight weight(format, {259, 16}, 5);
  for (std::int64_t row = 0; row < 259; ++row) {
    auto* values = weight.weight().values.row<std::uint8_t>(row);
    std::fill_n(values, 16, std::uint8_t{0});
    values[row % 16] = static_cast<std::uint8_t>(row);
  }
  expect_bits_of_dequantized(kernels(), weight.weight(), 1);
}

TEST_P(VectorKernelsTest, DotQuantizedLeavesOtherFormatsAlone) {
  if (kernels().dot_quantized == nullptr) GTEST_SKIP() << "these kernels read no quantized weight";
  const Strided a(DType::float32, 1, 40, random_floats(40, 7));
  const Strided out(DType::float32, 1, 2, {});
  WeightFormat format = {.stored = DType::uint8, .scale_dtype = DType::float16, .group_size = 20};
  EXPECT_FALSE(kernels().dot_quantized(
      a.view, testing::RandomQuantizedWeight(format, {2, 40}, 1).weight(), 0, out.view));
  const Strided wide(DType::float32, 1, 64, random_floats(64, 7));
  format.group_size = 32;
  format.permuted_inputs = true;
  EXPECT_FALSE(kernels().dot_quantized(
      wide.view, testing::RandomQuantizedWeight(format, {2, 64}, 1).weight(), 0, out.view));
}

TEST_P(VectorKernelsTest, DotRows) {
  for (const DType dtype : {DType::float32, DType::float16, DType::bfloat16}) {
    for (const std::int64_t rows : {0, 1, 2, 3, 4, 7, 9}) {
      for (const std::int64_t depth : {1, 7, 8, 9, 64, 131}) {
        const std::int64_t columns = 1 + depth % 11;
        const auto a = random_floats(rows * depth, 1);
        const auto b = rounded(dtype, random_floats(columns * depth, 2));
        const Strided left(DType::float32, rows, depth, a), right(dtype, columns, depth, b);
        const Strided out(DType::float32, rows, columns, {});
        kernels().dot_rows(left.view, right.view, out.view, false);
        for (std::int64_t r = 0; r < rows; ++r) {
          for (std::int64_t c = 0; c < columns; ++c) {
            double sum = 0.0;
            double magnitude = 0.0;
            for (std::int64_t k = 0; k < depth; ++k) {
              const double product =
                  static_cast<double>(a[static_cast<std::size_t>(r * depth + k)]) *
                  b[static_cast<std::size_t>(c * depth + k)];
              sum += product;
              magnitude += std::abs(product);
            }
            EXPECT_NEAR(out.view.row<float>(r)[c], sum, 1e-6 * magnitude)
                << rows << " rows, depth " << depth;
          }
          EXPECT_TRUE(std::isnan(out.view.row<float>(r)[columns])) << "wrote past the row";
        }
      }
    }
  }
}

TEST_P(VectorKernelsTest, AccumulateRows) {
  for (const DType dtype : {DType::float32, DType::float16, DType::bfloat16}) {
    for (const std::int64_t rows : {0, 1, 2, 3, 5, 8}) {
      for (const std::int64_t columns : {1, 7, 8, 64, 75}) {
        const std::int64_t depth = 1 + columns % 6;
        const auto a = random_floats(rows * depth, 1);
        const auto b = rounded(dtype, random_floats(columns * depth, 2));
        const auto before = random_floats(rows * columns, 3);
        const Strided left(DType::float32, rows, depth, a), right(dtype, depth, columns, b);
        const Strided out(DType::float32, rows, columns, before);
        kernels().accumulate_rows(left.view, right.view, out.view);
        for (std::int64_t r = 0; r < rows; ++r) {
          for (std::int64_t c = 0; c < columns; ++c) {
            double sum = before[static_cast<std::size_t>(r * columns + c)];
            double magnitude = std::abs(sum);
            for (std::int64_t k = 0; k < depth; ++k) {
              const double product =
                  static_cast<double>(a[static_cast<std::size_t>(r * depth + k)]) *
                  b[static_cast<std::size_t>(k * columns + c)];
              sum += product;
              magnitude += std::abs(product);
            }
            EXPECT_NEAR(out.view.row<float>(r)[c], sum, 1e-6 * magnitude);
          }
          EXPECT_TRUE(std::isnan(out.view.row<float>(r)[columns])) << "wrote past the row";
        }
      }
    }
  }
}

/// Single rows and blocks of every size agree bit for bit; depth and width have a remainder for
/// every vector length.
TEST_P(VectorKernelsTest, ARowDoesNotDependOnTheRowsBesideIt) {
  constexpr std::int64_t kRows = 11;
  constexpr std::int64_t kDepth = 53;
  constexpr std::int64_t kColumns = 45;
  const auto a = random_floats(kRows * kDepth, 1);
  const Strided left(DType::float32, kRows, kDepth, a);
  const auto expect_same = [&](const Tensor& together, const Tensor& alone, const char* what) {
    for (std::int64_t r = 0; r < kRows; ++r) {
      for (std::int64_t c = 0; c < kColumns; ++c) {
        EXPECT_EQ(together.row<float>(r)[c], alone.row<float>(r)[c]) << what << ", row " << r;
      }
    }
  };
  for (const DType dtype : {DType::float32, DType::float16, DType::bfloat16}) {
    const auto b = rounded(dtype, random_floats(kColumns * kDepth, 2));
    const auto before = random_floats(kRows * kColumns, 3);
    const Strided columns(dtype, kColumns, kDepth, b), rows(dtype, kDepth, kColumns, b);
    const Strided dots(DType::float32, kRows, kColumns, {});
    const Strided sums(DType::float32, kRows, kColumns, before);
    kernels().dot_rows(left.view, columns.view, dots.view, false);
    kernels().accumulate_rows(left.view, rows.view, sums.view);
    for (const std::int64_t block : {1, 2, 3, 5, 10}) {
      const Strided few_dots(DType::float32, kRows, kColumns, {});
      const Strided few_sums(DType::float32, kRows, kColumns, before);
      for (std::int64_t r = 0; r < kRows; r += block) {
        const std::int64_t count = std::min(block, kRows - r);
        const Tensor in = row_slice(left.view, r, count);
        kernels().dot_rows(in, columns.view, row_slice(few_dots.view, r, count), count % 2 == 0);
        kernels().accumulate_rows(in, rows.view, row_slice(few_sums.view, r, count));
      }
      expect_same(dots.view, few_dots.view, "dot_rows");
      expect_same(sums.view, few_sums.view, "accumulate_rows");
    }
    // Nor does it depend on the columns computed together.
    const Strided one_column(DType::float32, kRows, kColumns, {});
    for (std::int64_t c = 0; c < kColumns; ++c) {
      Tensor out = one_column.view;
      out.data = element(out, 0, c);
      kernels().dot_rows(left.view, row_slice(columns.view, c, 1), out, true);
    }
    expect_same(dots.view, one_column.view, "dot_rows, a column at a time");
  }
}

TEST_P(VectorKernelsTest, SoftmaxNumerators) {
  for (const std::int64_t size : {1, 2, 15, 16, 17, 100}) {
    auto scores = random_floats(size, 1);
    for (float& score : scores) score *= 20.0f;
    const std::vector<float> before = scores;
    const float reference = softmax_reference(*std::max_element(before.begin(), before.end()));
    const float sum = kernels().softmax_numerators(scores);
    double expected_sum = 0.0;
    for (std::size_t i = 0; i < scores.size(); ++i) {
      const double expected = std::exp(static_cast<double>(before[i] - reference));
      expected_sum += expected;
      EXPECT_NEAR(scores[i], expected, 3e-7 * expected + 1e-44);
    }
    EXPECT_NEAR(sum, expected_sum, 1e-6 * expected_sum);
  }
}

TEST_P(VectorKernelsTest, SoftmaxOfInfinitiesAndNan) {
  std::vector<float> scores(20, 0.0f);
  scores[3] = scores[17] = -std::numeric_limits<float>::infinity();
  EXPECT_EQ(kernels().softmax_numerators(scores), 18.0f);
  EXPECT_EQ(scores[3], 0.0f);
  EXPECT_EQ(scores[17], 0.0f);
  for (const std::size_t where : {0u, 7u, 19u}) {
    std::vector<float> broken(20, 1.0f);
    broken[where] = std::nanf("");
    EXPECT_TRUE(std::isnan(kernels().softmax_numerators(broken))) << where;
  }
}

TEST_P(VectorKernelsTest, Activations) {
  std::vector<float> xs = {0.0f, -0.0f, 1e-30f, -1e-30f};
  for (float x = -30.0f; x < 30.0f; x += 0.0371f) xs.push_back(x);
  for (const float x : {-1e4f, 1e4f, -87.9f, -88.8f, 88.8f, -103.0f, 3e38f}) xs.push_back(x);
  // Where e^-x overflows float32 the result, at most this, becomes 0.
  constexpr double kOverflowed = 3e-37;
  std::vector<float> silu = xs;
  std::vector<float> gelu = xs;
  kernels().silu(silu);
  kernels().gelu_tanh(gelu);
  for (std::size_t i = 0; i < xs.size(); ++i) {
    const double x = xs[i];
    const double silu_x = x / (1.0 + std::exp(-x));
    EXPECT_NEAR(silu[i], silu_x, 5e-7 * std::abs(silu_x) + kOverflowed) << x;
    // Written with a logistic function, which keeps its relative precision far below zero too; the
    // exponent's own rounding error is magnified by its size.
    const double u = std::sqrt(2.0 / std::numbers::pi) * (x + 0.044715 * x * x * x);
    const double gelu_x = x / (1.0 + std::exp(-2.0 * u));
    const double relative = 5e-7 * (1.0 + std::min(90.0, std::abs(u)));
    EXPECT_NEAR(gelu[i], gelu_x, relative * std::abs(gelu_x) + kOverflowed) << x;
  }
  std::vector<float> nan = {std::nanf(""), std::numeric_limits<float>::infinity()};
  kernels().silu(nan);
  EXPECT_TRUE(std::isnan(nan[0]));
  EXPECT_EQ(nan[1], std::numeric_limits<float>::infinity());
  nan[0] = std::nanf("");
  kernels().gelu_tanh(nan);
  EXPECT_TRUE(std::isnan(nan[0]));
  EXPECT_EQ(nan[1], std::numeric_limits<float>::infinity());
}

INSTANTIATE_TEST_SUITE_P(All, VectorKernelsTest,
                         ::testing::Values(KernelsUnderTest{"portable", &portable_kernels()},
                                           KernelsUnderTest{"avx2", avx2_kernels()},
                                           KernelsUnderTest{"avx512", avx512_kernels()}),
                         [](const auto& kernels) { return std::string(kernels.param.name); });

TEST(Gemm, BothSidesOfTheCrossoverAgree) {
  constexpr std::int64_t kDepth = 70;
  constexpr std::int64_t kColumns = 21;
  const std::int64_t rows = kMaxNarrowRows + 1;
  const auto a = random_floats(rows * kDepth, 1);
  const auto b = rounded(DType::float16, random_floats(kColumns * kDepth, 2));
  const Strided left(DType::float32, rows, kDepth, a);
  const Strided right(DType::float16, kColumns, kDepth, b);
  const Strided many(DType::float32, rows, kColumns, {}), few(DType::float32, rows, kColumns, {});
  std::vector<float> scratch(kColumns * kDepth);
  multiply_transposed(left.view, prepare_right_side(right.view, rows, scratch.data()), many.view);
  for (std::int64_t r = 0; r < rows; ++r) {
    const Tensor stored = prepare_right_side(right.view, 1, nullptr);
    EXPECT_EQ(stored.data, right.view.data) << "few rows read the weight as it is stored";
    multiply_transposed(row_slice(left.view, r, 1), stored, row_slice(few.view, r, 1));
    for (std::int64_t c = 0; c < kColumns; ++c) {
      EXPECT_EQ(many.view.row<float>(r)[c], few.view.row<float>(r)[c]);
    }
  }
}

}  // namespace
}  // namespace quern::cpu
