#include "compare/value_comparison.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace quern {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

TEST(CompareRows, SummarizesErrors) {
  const std::vector<float> reference = {1, 2, 4, 0, 0, 10};
  const std::vector<float> tested = {1.5f, 2, 3, 0.25f, 0, 10};
  const RowsDifference difference = compare_rows({tested, reference, 3, DType::float32, {}, {}});
  EXPECT_EQ(difference.absolute.max, 1.0);
  EXPECT_DOUBLE_EQ(difference.absolute.mean, 1.75 / 6);
  EXPECT_EQ(difference.absolute.median, 0.25);  // the upper of the two in the middle
  EXPECT_EQ(difference.relative.max, 0.5);
  EXPECT_DOUBLE_EQ(difference.relative.mean, 0.75 / 4);
  EXPECT_DOUBLE_EQ(difference.nmse, 1.25 / 21);
  EXPECT_EQ(difference.nmse_row, 0);
  EXPECT_EQ(difference.worst, 2);
  EXPECT_EQ(difference.excess, 0.0);
}

TEST(CompareRows, TheWorstRowCounts) {
  const std::vector<float> reference = {100, 100, 0.1f, 0.1f};
  const std::vector<float> tested = {101, 100, 0.2f, 0.1f};
  const RowsDifference difference = compare_rows({tested, reference, 2, DType::float32, {}, {}});
  EXPECT_EQ(difference.nmse_row, 1);
  EXPECT_NEAR(difference.nmse, 0.5, 1e-6);
}

TEST(CompareRows, BoundsChooseTheWorst) {
  const std::vector<float> reference = {1, 1, 1};
  const std::vector<float> tested = {1.5f, 1.25f, 1};
  const std::vector<float> bounds = {1.0f, 0.125f, 0.0f};
  const RowsDifference difference =
      compare_rows({tested, reference, 3, DType::float16, bounds, {}});
  EXPECT_EQ(difference.worst, 1);
  EXPECT_DOUBLE_EQ(difference.excess, 0.25 / (0.125 + 0x1p-10));
}

TEST(CompareRows, TwoTiesAreNoFault) {
  std::vector<float> reference(64, 0.5f);
  reference[9] = 1.5f;
  std::vector<float> tested = reference;
  tested[9] += 0x1p-10f;
  const RowsDifference tie = compare_rows({tested, reference, 64, DType::float16, {}, {}});
  EXPECT_GT(tie.nmse, 0.0);
  EXPECT_EQ(tie.nmse_but_for_ties, 0.0);
  tested[50] += 0x1p-11f;
  const RowsDifference two_ties = compare_rows({tested, reference, 64, DType::float16, {}, {}});
  EXPECT_GT(two_ties.nmse, tie.nmse);
  EXPECT_EQ(two_ties.nmse_but_for_ties, 0.0);
  tested[51] += 0x1p-11f;
  EXPECT_GT(compare_rows({tested, reference, 64, DType::float16, {}, {}}).nmse_but_for_ties, 0.0);
  tested = reference;
  tested[9] += 0x1p-9f;  // two units
  EXPECT_GT(compare_rows({tested, reference, 64, DType::float16, {}, {}}).nmse_but_for_ties, 0.0);
  const std::vector<double> slack = {1e-3};
  EXPECT_EQ(compare_rows({tested, reference, 64, DType::float16, {}, slack}).nmse_but_for_ties,
            0.0);
}

TEST(CompareRows, WhatIsNotFiniteIsEqualOrInfinitelyWrong) {
  const std::vector<float> reference = {kInfinity, kNan, -kInfinity, 1};
  const RowsDifference same = compare_rows({reference, reference, 4, DType::float16, {}, {}});
  EXPECT_EQ(same.absolute.max, 0.0);
  EXPECT_EQ(same.nmse, 0.0);
  EXPECT_EQ(same.num_nan, 1);
  EXPECT_EQ(same.num_infinite, 2);
  for (const float wrong : {kNan, kInfinity}) {
    const std::vector<float> tested = {kInfinity, kNan, -kInfinity, wrong};
    const RowsDifference difference = compare_rows({tested, reference, 4, DType::float16, {}, {}});
    EXPECT_EQ(difference.nmse, std::numeric_limits<double>::infinity());
    EXPECT_EQ(difference.worst, 3);
  }
}

TEST(CompareRows, ABoundThatIsNotANumberHoldsNothingButEquality) {
  const std::vector<float> reference = {1, 2, kNan};
  const std::vector<float> bounds = {kNan, 1, kNan};
  const std::vector<double> slack = {kNan};
  const RowsDifference same =
      compare_rows({reference, reference, 3, DType::float32, bounds, slack});
  EXPECT_EQ(same.excess, 0.0);
  EXPECT_EQ(same.nmse_but_for_ties, 0.0);
  const std::vector<float> tested = {1.5f, 2, kNan};
  const RowsDifference other = compare_rows({tested, reference, 3, DType::float32, bounds, slack});
  EXPECT_EQ(other.excess, std::numeric_limits<double>::infinity());
  EXPECT_EQ(other.nmse_but_for_ties, std::numeric_limits<double>::infinity());
  EXPECT_EQ(other.worst, 0);
  const std::vector<float> wrong = {1, 2, 3};
  const RowsDifference finite = compare_rows({wrong, reference, 3, DType::float32, {}, {}});
  EXPECT_EQ(finite.relative.max, std::numeric_limits<double>::infinity());
}

TEST(CompareRows, CountsSaturation) {
  const std::vector<float> values = {65504, -65504, 1, 3.0e38f};
  EXPECT_EQ(compare_rows({values, values, 4, DType::float16, {}, {}}).num_saturated, 2);
}

TEST(UnitInLastPlace, IsTheDistanceToTheNextNumber) {
  EXPECT_EQ(unit_in_last_place(DType::float32, 1.0), 0x1p-23);
  EXPECT_EQ(unit_in_last_place(DType::float16, 1.999), 0x1p-10);
  EXPECT_EQ(unit_in_last_place(DType::bfloat16, -2.0), 0x1p-6);
  EXPECT_EQ(unit_in_last_place(DType::float16, 1e-7), 0x1p-24);
  EXPECT_EQ(unit_in_last_place(DType::float16, 0.0), 0x1p-24);
}

}  // namespace
}  // namespace quern
