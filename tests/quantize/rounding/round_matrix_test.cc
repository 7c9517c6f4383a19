#include "quantize/rounding/round_matrix.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <vector>

#include "base/half.h"
#include "quantize/rounding/input_squares.h"
#include "quantize/rounding/output_drift.h"
#include "tests/quantize/rounding/calibration_data.h"

namespace quern::testing {
namespace {

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

/// The damping of GPTQ's paper.
std::vector<double> damped(std::span<const double> squares, std::size_t inputs) {
  std::vector<double> result(squares.begin(), squares.end());
  double mean = 0.0;
  for (std::size_t i = 0; i < inputs; ++i) {
    mean += squares[i * inputs + i] / static_cast<double>(inputs);
  }
  for (std::size_t i = 0; i < inputs; ++i) result[i * inputs + i] += 0.01 * mean;
  return result;
}

/// By Gauss-Jordan.
std::vector<double> inverse_of(std::vector<double> matrix, std::size_t size) {
  std::vector<double> inverse(size * size);
  for (std::size_t i = 0; i < size; ++i) inverse[i * size + i] = 1.0;
  for (std::size_t k = 0; k < size; ++k) {
    const double pivot = matrix[k * size + k];
    for (std::size_t j = 0; j < size; ++j) {
      matrix[k * size + j] /= pivot;
      inverse[k * size + j] /= pivot;
    }
    for (std::size_t i = 0; i < size; ++i) {
      if (i == k) continue;
      const double factor = matrix[i * size + k];
      for (std::size_t j = 0; j < size; ++j) {
        matrix[i * size + j] -= factor * matrix[k * size + j];
        inverse[i * size + j] -= factor * inverse[k * size + j];
      }
    }
  }
  return inverse;
}

/// The bytes of GPTQ as its paper has it, in double precision: the Cholesky factor of the inverse,
/// inputs in the order of their squares, each error spread over the inputs to come. `weights` are
/// what is rounded, with the scales of `with_scales`.
std::vector<std::uint8_t> plain_gptq(const MatrixToRound& matrix, std::vector<double> weights,
                                     const QuantizedRows& with_scales,
                                     std::span<const double> squares) {
  const auto inputs = static_cast<std::size_t>(matrix.inputs);
  const auto square = [&](std::size_t i) { return squares[i * inputs + i]; };
  std::vector<std::size_t> order(inputs);
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::ranges::greater(), square);
  const std::vector<double> h = damped(squares, inputs);
  std::vector<double> ordered(inputs * inputs);
  for (std::size_t i = 0; i < inputs; ++i) {
    for (std::size_t j = 0; j < inputs; ++j) {
      ordered[i * inputs + j] = h[order[i] * inputs + order[j]];
    }
  }
  // Row by row the inverse loses its first input: U's rows up to a factor (paper, equation 3).
  std::vector<std::uint8_t> bytes(matrix.values.size());
  std::vector<double> left = inverse_of(ordered, inputs);
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
  const std::vector<float> originals_ = drifted(inputs_, kInputs);
  const MatrixToRound matrix_{values_, kInputs, GetParam().grid, DType::float16,
                              GetParam().group_size};
  ThreadPool pool_{2};

  QuantizedRows with_feedback(ThreadPool& pool) const {
    InputSquares sums(kInputs, pool);
    sums.add(inputs_);
    sums.finish();
    return round_with_feedback(matrix_, sums.values(), {}, pool);
  }
  QuantizedRows with_drift(ThreadPool& pool) const {
    InputSquares sums(kInputs, pool);
    OutputDrift drift(values_, kInputs, pool);
    sums.add(inputs_);
    drift.add(inputs_, originals_);
    sums.finish();
    drift.finish();
    return round_with_feedback(matrix_, sums.values(), drift.values(), pool);
  }
  /// Few rows of bytes are not the expected ones: a number near the middle between two may fall
  /// either way in float32, and its row then differs further on.
  static void expect_rows(const QuantizedRows& rounded, std::span<const std::uint8_t> expected) {
    std::size_t num_rows_differ = 0;
    for (std::size_t row = 0; row < kRows; ++row) {
      const auto own = std::span(rounded.bytes).subspan(row * kInputs, kInputs);
      if (!std::ranges::equal(own, expected.subspan(row * kInputs, kInputs))) ++num_rows_differ;
    }
    EXPECT_LE(num_rows_differ, kRows / 10);
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
  expect_rows(rounded, plain_gptq(matrix_, {values_.begin(), values_.end()}, rounded, squares_));
}

TEST_P(RoundMatrixTest, WithDriftTheBestMatrixForTheInputsIsRounded) {
  // T = W · Σ x₀ xᵀ · (Σ x xᵀ)⁻¹, by least squares, damped towards W.
  const std::vector<float> differences = [&] {
    std::vector<float> result(inputs_.size());
    std::ranges::transform(originals_, inputs_, result.begin(), std::minus());
    return result;
  }();
  const std::vector<double> drift =
      product(values_, products_of(differences, inputs_, kInputs), kInputs);
  const std::vector<double> inverse = inverse_of(damped(squares_, kInputs), kInputs);
  std::vector<double> best(values_.begin(), values_.end());
  for (std::size_t at = 0; at < best.size(); ++at) {
    for (std::size_t i = 0; i < kInputs; ++i) {
      best[at] += drift[at / kInputs * kInputs + i] * inverse[i * kInputs + at % kInputs];
    }
  }
  const QuantizedRows rounded = with_drift(pool_);
  expect_rows(rounded, plain_gptq(matrix_, best, rounded, squares_));
}

TEST_P(RoundMatrixTest, DriftBringsOutputsBackToTheOriginals) {
  // ‖W x₀ - Q x‖² over all inputs.
  const auto error_of = [&](const QuantizedRows& rounded) {
    std::vector<float> numbers(values_.size());
    dequantize(rounded, matrix_.grid, numbers);
    double sum = 0.0;
    for (std::size_t row = 0; row < inputs_.size(); row += kInputs) {
      for (std::size_t first = 0; first < numbers.size(); first += kInputs) {
        double difference = 0.0;
        for (std::size_t i = 0; i < kInputs; ++i) {
          difference += double{values_[first + i]} * double{originals_[row + i]} -
                        double{numbers[first + i]} * double{inputs_[row + i]};
        }
        sum += difference * difference;
      }
    }
    return sum;
  };
  EXPECT_LT(error_of(with_drift(pool_)), 0.6 * error_of(with_feedback(pool_)));
}

TEST_P(RoundMatrixTest, FeedbackLowersTheOutputsError) {
  const double nearest = output_error(matrix_, round_to_nearest(matrix_, pool_), squares_);
  const double fed_back = output_error(matrix_, with_feedback(pool_), squares_);
  EXPECT_LT(fed_back, 0.6 * nearest);
}

TEST_P(RoundMatrixTest, BytesDoNotDependOnThreads) {
  ThreadPool one(1);
  ThreadPool three(3);
  const QuantizedRows a = with_drift(one);
  const QuantizedRows b = with_drift(three);
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
    const QuantizedRows rounded = round_with_feedback(matrix, sums.values(), {}, pool);
    std::vector<float> numbers(values.size());
    dequantize(rounded, matrix.grid, numbers);
    for (const float number : numbers) EXPECT_TRUE(std::isfinite(number));
  }
}

}  // namespace
}  // namespace quern::testing
