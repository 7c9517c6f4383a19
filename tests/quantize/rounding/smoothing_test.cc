#include "quantize/rounding/smoothing.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/half.h"

namespace quern {
namespace {

TEST(SmoothingTest, SharesTheRangeBetweenInputsAndWeights) {
  const std::vector<float> inputs = {16.0f, 1.0f, 0.0f, 4.0f};
  const std::vector<float> weight = {1.0f, -4.0f, 2.0f, 0.0f,  //
                                     0.5f, 1.0f,  2.0f, 0.0f};
  const std::vector<float> factors = smoothing_factors(inputs, weight, 0.5f);
  EXPECT_FLOAT_EQ(factors[0], 4.0f);  // √16 / √1: both have a maximum of 4 then
  EXPECT_FLOAT_EQ(factors[1], 0.5f);
  EXPECT_EQ(factors[2], 1.0f);  // an input that is always 0
  EXPECT_EQ(factors[3], 1.0f);  // one without weights
}

TEST(SmoothingTest, FactorsMakeUpForTheRoundingOfTheGain) {
  const std::vector<float> factors = {3.0f, 0.7f, 1e9f, 2.0f};
  const std::vector<float> before = {1.5f, 0.123f, 1.0f, 0.0f};
  std::vector<float> gain = before;
  std::vector<float> bias = {0.25f, -1.0f, 0.5f, 8.0f};
  const auto applied = fold_into_norm(factors, DType::float16, gain, DType::float16, bias);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(gain[i], round_to(DType::float16, before[i] / factors[i]));
    EXPECT_FLOAT_EQ(gain[i] * applied[i], before[i]);
    EXPECT_NEAR(applied[i], factors[i], 1e-3 * factors[i]);
  }
  EXPECT_EQ(bias[0], round_to(DType::float16, 0.25f / applied[0]));
  // A gain that would vanish in float16, and one of 0, stay as they are.
  EXPECT_EQ(applied[2], 1.0f);
  EXPECT_EQ(gain[2], 1.0f);
  EXPECT_EQ(applied[3], 1.0f);
  EXPECT_EQ(bias[3], 8.0f);
}

}  // namespace
}  // namespace quern
