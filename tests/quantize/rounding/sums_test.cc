#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "quantize/rounding/factorize.h"
#include "quantize/rounding/input_squares.h"
#include "quantize/rounding/output_drift.h"
#include "tests/quantize/rounding/calibration_data.h"

namespace quern::testing {
namespace {

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

TEST(OutputDriftTest, IsTheSumOfAllRows) {
  constexpr std::size_t kInputs = 70;
  constexpr std::size_t kOutputs = 90;
  const std::vector<float> rows = related_inputs(300, kInputs);
  const std::vector<float> originals = drifted(rows, kInputs);
  const std::vector<float> matrix = random_floats(kOutputs * kInputs, 4);
  ThreadPool pool(2);
  OutputDrift drift(matrix, kInputs, pool);
  const std::span<const float> all = rows;
  const std::span<const float> all_originals = originals;
  drift.add(all.first(100 * kInputs), all_originals.first(100 * kInputs));
  drift.add(all.subspan(100 * kInputs), all_originals.subspan(100 * kInputs));
  drift.finish();
  std::vector<float> factors(kInputs, 0.5f);
  factors[3] = 4.0f;
  drift.scale(factors);
  std::vector<float> differences(rows.size());
  std::ranges::transform(originals, rows, differences.begin(), std::minus());
  const std::vector<double> expected =
      product(matrix, products_of(differences, rows, kInputs), kInputs);
  double largest = 0.0;
  for (const double value : expected) largest = std::max(largest, std::fabs(value));
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(drift.values()[i], factors[i % kInputs] * expected[i], 1e-5 * largest);
  }
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

}  // namespace
}  // namespace quern::testing
