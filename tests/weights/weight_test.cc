#include "weights/weight.h"

#include <gtest/gtest.h>

#include "base/half.h"
#include "tests/support/expect_error.h"

namespace quern {
namespace {

class DequantizeRow : public ::testing::TestWithParam<DType> {};

TEST_P(DequantizeRow, GivesTheRowAsFloats) {
  // Two rows of three, four apart: 0 1 2 · | 4 5 6 ·
  const std::vector<float> numbers = {0, 1, 2, -99, 4, 5, 6, -99};
  std::vector<std::byte> bytes(numbers.size() * dtype_bytes(GetParam()));
  store_floats(GetParam(), numbers, bytes.data());
  const Weight weight{.values = {bytes.data(), 2, 3, 4, GetParam(), {}},
                      .format = {GetParam()},
                      .out_features = 2,
                      .in_features = 3};
  std::vector<float> row(3);
  dequantize_row(weight, 0, row);
  EXPECT_EQ(row, (std::vector<float>{0, 1, 2}));
  dequantize_row(weight, 1, row);
  EXPECT_EQ(row, (std::vector<float>{4, 5, 6}));
  EXPECT_QUERN_ERROR(ErrorCode::internal, ({"row 2 of 2"}), dequantize_row(weight, 2, row));
  EXPECT_QUERN_ERROR(ErrorCode::internal, ({"row -1 of 2"}), dequantize_row(weight, -1, row));
  row.resize(2);
  EXPECT_QUERN_ERROR(ErrorCode::internal, ({"room for 2 of 3"}), dequantize_row(weight, 0, row));
}

INSTANTIATE_TEST_SUITE_P(FloatTypes, DequantizeRow,
                         ::testing::Values(DType::float32, DType::float16, DType::bfloat16),
                         [](const auto& test) { return dtype_name(test.param); });

}  // namespace
}  // namespace quern
