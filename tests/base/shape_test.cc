#include "base/memory/shape.h"

#include <gtest/gtest.h>

#include <vector>

namespace quern {
namespace {

TEST(Shape, ProductsThatOverflowOrAreNegativeAreNone) {
  EXPECT_EQ(checked_product(3, 5), 15);
  EXPECT_EQ(checked_product(INT64_MAX, 1), INT64_MAX);
  EXPECT_EQ(checked_product(std::int64_t{1} << 32, std::int64_t{1} << 31), std::nullopt);
  EXPECT_EQ(checked_product(-1, 5), std::nullopt);
  EXPECT_EQ(checked_product(-2, -3), std::nullopt);
}

TEST(Shape, NumelOfWholeShapes) {
  const auto numel = [](const std::vector<std::int64_t>& sizes) { return checked_numel(sizes); };
  EXPECT_EQ(numel({}), 1);
  EXPECT_EQ(numel({2, 3, 4}), 24);
  EXPECT_EQ(numel({2, 0, 4}), 0);
  EXPECT_EQ(numel({2, -1}), std::nullopt);
  EXPECT_EQ(numel({0, -1}), std::nullopt) << "a zero does not excuse a negative size";
  EXPECT_EQ(numel({std::int64_t{1} << 40, std::int64_t{1} << 40, 0}), std::nullopt);
}

TEST(Shape, PrintsAsPythonDoes) {
  EXPECT_EQ(shape_string(std::vector<std::int64_t>{}), "[]");
  EXPECT_EQ(shape_string(std::vector<std::int64_t>{2, 3}), "[2, 3]");
}

TEST(Shape, RoundsUp) {
  EXPECT_EQ(align_up(0, 64), 0u);
  EXPECT_EQ(align_up(1, 64), 64u);
  EXPECT_EQ(align_up(64, 64), 64u);
  EXPECT_EQ(ceil_div(7, 2), 4);
  EXPECT_EQ(ceil_div(8, 2), 4);
  EXPECT_EQ(ceil_div(std::int64_t{0}, std::int64_t{3}), 0);
}

}  // namespace
}  // namespace quern
