#include "quantize/round_matrix.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <vector>

#include "base/half.h"
#include "quantize/factorize.h"
#include "quantize/input_squares.h"

namespace quern {
namespace {

std::vector<float> random_floats(std::size_t count, unsigned seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  std::ranges::generate(values, [&] { return normal(engine); });
  return values;
}

/// Inputs that depend on each other, some of them much larger than others.
std::vector<float> related_inputs(std::size_t rows, std::size_t inputs) {
  std::vector<float> values = random_floats(rows * inputs, 1);
  for (std::size_t row = 0; row < rows; ++row) {
    float* x = values.data() + row * inputs;
    for (std::size_t i = 1; i < inputs; ++i) x[i] += 0.7f * x[i - 1];
    for (std::size_t i = 0; i < inputs; i += 7) x[i] *= 4.0f;
  }
  return values;
}

std::vector<double> squares_of(std::span<const float> rows, std::size_t inputs) {
  std::vector<double> sums(inputs * inputs);
  for (std::size_t first = 0; first < rows.size(); first += inputs) {
    for (std::size_t i = 0; i < inputs; ++i) {
      for (std::size_t j = 0; j < inputs; ++j) {
        sums[i * inputs + j] += double{rows[first + i]} * double{rows[first + j]};
      }
    }
  }
  return sums;
}

/// Σ over rows of e · squares · e, e = weights - quantized.
double output_error(const MatrixToRound& matrix, const QuantizedRows& rounded,
                    std::span<const double> squares) {
  std::vector<float> numbers(matrix.values.size());
  dequantize(rounded, matrix.grid, numbers);
  const auto inputs = static_cast<std::size_t>(matrix.inputs);
  double sum = 0.0;
  for (std::size_t first = 0; first < numbers.size(); first += inputs) {
    for (std::size_t i = 0; i < inputs; ++i) {
      for (std::size_t j = 0; j < inputs; ++j) {
        sum += (double{matrix.values[first + i]} - double{numbers[first + i]}) *
               squares[i * inputs + j] *
               (double{matrix.values[first + j]} - double{numbers[first + j]});
      }
    }
  }
  return sum;
}

/// The bytes of GPTQ as its paper has it, in double precision: the Cholesky factor of the inverse,
/// inputs in the order of their squares, each error spread over the inputs to come.
std::vector<std::uint8_t> plain_gptq(const MatrixToRound& matrix, const QuantizedRows& with_scales,
                                     std::span<const double> squares) {
  const auto inputs = static_cast<std::size_t>(matrix.inputs);
  const auto square = [&](std::size_t i) { return squares[i * inputs + i]; };
  std::vector<std::size_t> order(inputs);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::ranges::greater(), square);
  double mean = 0.0;
  for (std::size_t i = 0; i < inputs; ++i) mean += square(i) / static_cast<double>(inputs);
  std::vector<double> h(inputs * inputs);
  for (std::size_t i = 0; i < inputs; ++i) {
    for (std::size_t j = 0; j < inputs; ++j)
      h[i * inputs + j] = squares[order[i] * inputs + order[j]];
    h[i * inputs + i] += 0.01 * mean;
  }
  // The inverse by Gauss-Jordan.
  std::vector<double> inverse(inputs * inputs);
  for (std::size_t i = 0; i < inputs; ++i) inverse[i * inputs + i] = 1.0;
  for (std::size_t k = 0; k < inputs; ++k) {
    const double pivot = h[k * inputs + k];
    for (std::size_t j = 0; j < inputs; ++j) {
      h[k * inputs + j] /= pivot;
      inverse[k * inputs + j] /= pivot;
    }
    for (std::size_t i = 0; i < inputs; ++i) {
      if (i == k) continue;
      const double factor = h[i * inputs + k];
      for (std::size_t j = 0; j < inputs; ++j) {
        h[i * inputs + j] -= factor * h[k * inputs + j];
        inverse[i * inputs + j] -= factor * inverse[k * inputs + j];
      }
    }
  }
  // Row by row the inverse loses its first input: U's rows up to a factor (paper, equation 3).
  std::vector<std::uint8_t> bytes(matrix.values.size());
  std::vector<double> left = {inverse.begin(), inverse.end()};
  std::vector<double> weights(matrix.values.begin(), matrix.values.end());
  for (std::size_t k = 0; k < inputs; ++k) {
    for (std::int64_t row = 0; row < matrix.rows(); ++row) {
      double* w = weights.data() + static_cast<std::size_t>(row) * inputs;
      const std::size_t input = order[k];
      const float scale =
          with_scales.row_scales(row)[input / static_cast<std::size_t>(matrix.group_size)];
      const float stored = matrix.grid.nearest(static_cast<float>(w[input] / double{scale}));
      bytes[static_cast<std::size_t>(row) * inputs + input] = matrix.grid.byte_of(stored);
      const double error = (w[input] - double{scale} * double{stored}) / left[k * inputs + k];
      for (std::size_t j = k + 1; j < inputs; ++j) w[order[j]] -= error * left[k * inputs + j];
    }
    const std::vector<double> gone(left.begin() + static_cast<std::ptrdiff_t>(k * inputs),
                                   left.begin() + static_cast<std::ptrdiff_t>((k + 1) * inputs));
    for (std::size_t i = k + 1; i < inputs; ++i) {
      for (std::size_t j = k + 1; j < inputs; ++j)
        left[i * inputs + j] -= gone[i] * gone[j] / gone[k];
    }
  }
  return bytes;
}

struct Case {
  Grid grid;
  std::int64_t group_size;
};

class RoundMatrixTest : public ::testing::TestWithParam<Case> {
 protected:
  static constexpr std::size_t kInputs = 192;
  static constexpr std::size_t kRows = 40;

  const std::vector<float> values_ = random_floats(kRows * kInputs, 3);
  const std::vector<float> inputs_ = related_inputs(600, kInputs);
  const std::vector<double> squares_ = squares_of(inputs_, kInputs);
  const MatrixToRound matrix_{values_, kInputs, GetParam().grid, DType::float16,
                              GetParam().group_size};
  ThreadPool pool_{2};

  QuantizedRows with_feedback(ThreadPool& pool) const {
    InputSquares sums(kInputs, pool);
    sums.add(inputs_);
    sums.finish();
    return round_with_feedback(matrix_, sums.values(), pool);
  }
};

TEST_P(RoundMatrixTest, NearestIsWithinHalfAStep) {
  const QuantizedRows rounded = round_to_nearest(matrix_, pool_);
  std::vector<float> numbers(values_.size());
  dequantize(rounded, matrix_.grid, numbers);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const auto row = static_cast<std::int64_t>(i / kInputs);
    const float scale =
        rounded.row_scales(row)[i % kInputs / static_cast<std::size_t>(matrix_.group_size)];
    EXPECT_EQ(scale, round_to(DType::float16, scale));
    const float step =
        matrix_.grid.is_float ? std::max(std::fabs(values_[i]) / 8, scale / 512) : scale;
    // The largest number lies half a step beyond the last integer, or more where the scale was
    // rounded down, by 2^-11 of it.
    const float most = 0.5f + matrix_.grid.divisor() * 0x1p-11f;
    EXPECT_LE(std::fabs(values_[i] - numbers[i]), (matrix_.grid.is_float ? 0.51f : most) * step)
        << i;
  }
}

TEST_P(RoundMatrixTest, FeedbackGivesThePapersNumbers) {
  const QuantizedRows rounded = with_feedback(pool_);
  const std::vector<std::uint8_t> expected = plain_gptq(matrix_, rounded, squares_);
  // A number near the middle between two may fall either way in float32, and its row then differs
  // further on: few rows may.
  std::size_t num_rows_differ = 0;
  for (std::size_t row = 0; row < kRows; ++row) {
    const auto first = static_cast<std::ptrdiff_t>(row * kInputs);
    num_rows_differ += std::equal(rounded.bytes.begin() + first,
                                  rounded.bytes.begin() + first + kInputs, expected.begin() + first)
                           ? 0
                           : 1;
  }
  EXPECT_LE(num_rows_differ, kRows / 10);
}

TEST_P(RoundMatrixTest, FeedbackLowersTheOutputsError) {
  const double nearest = output_error(matrix_, round_to_nearest(matrix_, pool_), squares_);
  const double fed_back = output_error(matrix_, with_feedback(pool_), squares_);
  EXPECT_LT(fed_back, 0.6 * nearest);
}

TEST_P(RoundMatrixTest, BytesDoNotDependOnThreads) {
  ThreadPool one(1);
  ThreadPool three(3);
  const QuantizedRows a = with_feedback(one);
  const QuantizedRows b = with_feedback(three);
  EXPECT_EQ(a.bytes, b.bytes);
  EXPECT_EQ(a.scales, b.scales);
}

INSTANTIATE_TEST_SUITE_P(Grids, RoundMatrixTest,
                         ::testing::Values(Case{{4, false}, 64}, Case{{4, false}, 192},
                                           Case{{8, false}, 32}, Case{{8, true}, 192}));

TEST(GridTest, StoresItsOutermostNumbers) {
  const Grid int4{4, false};
  EXPECT_EQ(int4.nearest(100.0f), 7.0f);
  EXPECT_EQ(int4.nearest(-100.0f), -8.0f);
  EXPECT_EQ(int4.nearest(2.5f), 2.0f);  // to even
  EXPECT_EQ(int4.nearest(-3.5f), -4.0f);
  const Grid fp8{8, true};
  EXPECT_EQ(fp8.nearest(1e6f), 448.0f);
  for (const Grid& grid : {int4, Grid{8, false}, fp8}) {
    for (float number = -9.0f; number < 9.0f; number += 0.25f) {
      const float stored = grid.nearest(number);
      EXPECT_EQ(grid.number_of(grid.byte_of(stored)), stored);
    }
  }
}

TEST(GridTest, GroupsOfZerosHaveAScale) {
  const std::vector<float> zeros(64, 0.0f);
  const std::vector<float> importance(64, 0.0f);
  const Grid grid{4, false};
  EXPECT_EQ(scale_of(grid, DType::float16, zeros), 1.0f);
  EXPECT_EQ(best_scale(grid, DType::float16, zeros, importance), 1.0f);
}

TEST(GridTest, BestScaleCutsOffAnUnimportantOutlier) {
  std::vector<float> group = random_floats(64, 5);
  group[7] = 30.0f;
  std::vector<float> importance(64, 1.0f);
  const Grid grid{4, false};
  const float whole = scale_of(grid, DType::float32, group);
  EXPECT_GT(best_scale(grid, DType::float32, group, importance), 0.8f * whole);
  importance[7] = 1e-4f;
  EXPECT_LT(best_scale(grid, DType::float32, group, importance), 0.6f * whole);
}

TEST(FactorizeTest, FactorsGiveTheMatrixBack) {
  constexpr std::size_t kSize = 150;  // no multiple of a block
  const std::vector<float> rows = related_inputs(400, kSize);
  const std::vector<double> squares = squares_of(rows, kSize);
  std::vector<float> factors(squares.begin(), squares.end());
  ThreadPool pool(2);
  ASSERT_TRUE(factorize_upper(factors, kSize, pool));
  for (std::size_t i = 0; i < kSize; ++i) {
    for (std::size_t j = i; j < kSize; ++j) {
      double sum = 0.0;
      for (std::size_t k = j; k < kSize; ++k) {
        sum += double{factors[i * kSize + k]} * double{factors[j * kSize + k]};
      }
      const double size = std::sqrt(squares[i * kSize + i] * squares[j * kSize + j]);
      EXPECT_NEAR(sum, squares[i * kSize + j], 1e-5 * size) << i << ' ' << j;
      if (i != j) {
        EXPECT_EQ(factors[j * kSize + i], static_cast<float>(squares[j * kSize + i]));
      }
    }
  }
}

TEST(FactorizeTest, RefusesWhatIsNotPositiveDefinite) {
  std::vector<float> matrix = {1.0f, 2.0f, 2.0f, 1.0f};
  ThreadPool pool(1);
  EXPECT_FALSE(factorize_upper(matrix, 2, pool));
}

TEST(InputSquaresTest, AreTheSumsOfAllRows) {
  constexpr std::size_t kInputs = 70;
  const std::vector<float> rows = related_inputs(300, kInputs);
  ThreadPool pool(2);
  InputSquares sums(kInputs, pool);
  const std::span<const float> all = rows;
  sums.add(all.first(100 * kInputs));
  sums.add(all.subspan(100 * kInputs));
  sums.finish();
  const std::vector<double> expected = squares_of(rows, kInputs);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double size =
        std::sqrt(expected[i / kInputs * (kInputs + 1)] * expected[i % kInputs * (kInputs + 1)]);
    EXPECT_NEAR(sums.values()[i], expected[i], 1e-5 * size);
  }
  EXPECT_EQ(sums.num_rows(), 300);
  EXPECT_EQ(sums.largest()[3], [&] {
    float largest = 0.0f;
    for (std::size_t at = 3; at < rows.size(); at += kInputs) {
      largest = std::max(largest, std::fabs(rows[at]));
    }
    return largest;
  }());
}

TEST(RoundWithFeedbackTest, InputsThatAreAlwaysZeroAreNoError) {
  constexpr std::size_t kInputs = 64;
  std::vector<float> rows = random_floats(100 * kInputs, 8);
  for (std::size_t at = 5; at < rows.size(); at += kInputs) rows[at] = 0.0f;
  const std::vector<float> values = random_floats(4 * kInputs, 9);
  ThreadPool pool(1);
  for (const bool all_zero : {false, true}) {
    if (all_zero) std::ranges::fill(rows, 0.0f);
    InputSquares sums(kInputs, pool);
    sums.add(rows);
    sums.finish();
    const MatrixToRound matrix{values, kInputs, {4, false}, DType::float16, 32};
    const QuantizedRows rounded = round_with_feedback(matrix, sums.values(), pool);
    std::vector<float> numbers(values.size());
    dequantize(rounded, matrix.grid, numbers);
    for (const float number : numbers) EXPECT_TRUE(std::isfinite(number));
  }
}

}  // namespace
}  // namespace quern
