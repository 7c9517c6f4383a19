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
  Weight weight = row_major_weight({.stored = GetParam()}, {2, 3}, bytes.data(), Device{});
  weight.values.row_stride = 4;
  std::vector<float> row(3);
  dequantize_row(weight, 0, row);
  EXPECT_EQ(row, (std::vector<float>{0, 1, 2}));
  dequantize_row(weight, 1, row);
  EXPECT_EQ(row, (std::vector<float>{4, 5, 6}));
  EXPECT_QUERN_ERROR(ErrorCode::internal, ({"row 2 of 2"}), dequantize_row(weight, 2, row));
  EXPECT_QUERN_ERROR(ErrorCode::internal, ({"row -1 of 2"}), dequantize_row(weight, -1, row));
  row.resize(2);
  dequantize_row(weight, 1, 1, row);
  EXPECT_EQ(row, (std::vector<float>{5, 6}));
  EXPECT_QUERN_ERROR(ErrorCode::internal, ({"elements 2 to 4 of 3"}),
                     dequantize_row(weight, 1, 2, row));
  EXPECT_QUERN_ERROR(ErrorCode::internal, ({"elements -1 to 1 of 3"}),
                     dequantize_row(weight, 1, -1, row));
  EXPECT_QUERN_ERROR(ErrorCode::internal, ({"room for 2 of 3"}), dequantize_row(weight, 0, row));
}

INSTANTIATE_TEST_SUITE_P(FloatTypes, DequantizeRow,
                         ::testing::Values(DType::float32, DType::float16, DType::bfloat16),
                         [](const auto& test) { return dtype_name(test.param); });

TEST(DequantizeRowTest, RefusesWhatHasNoDefinition) {
  std::byte bytes[4] = {};
  const Weight weight = row_major_weight({.stored = DType::uint8}, {1, 4}, bytes, Device{});
  std::vector<float> row(4);
  EXPECT_QUERN_ERROR(ErrorCode::internal, ({"uint8"}), dequantize_row(weight, 0, row));
}

TEST(RowMajorWeight, ComponentsLieWhereTheFormatSays) {
  alignas(16) std::byte bytes[256] = {};
  const WeightFormat format = {.stored = DType::uint8,
                               .scale_dtype = DType::float16,
                               .group_size = 4,
                               .has_zero_points = true,
                               .permuted_inputs = true};
  const Weight weight = row_major_weight(format, {3, 10}, bytes, Device{});
  EXPECT_EQ(weight.format, format);
  EXPECT_EQ(weight.out_features, 3);
  EXPECT_EQ(weight.in_features, 10);
  // 30 bytes of values, 3 x 3 scales of 2 from 32 on, 9 zero points from 64 on, 10 inputs from 80.
  const auto expect_tensor = [&](const Tensor& tensor, std::ptrdiff_t offset, std::int64_t rows,
                                 std::int64_t cols, DType dtype) {
    EXPECT_EQ(tensor.data - bytes, offset);
    EXPECT_EQ(tensor.rows, rows);
    EXPECT_EQ(tensor.cols, cols);
    EXPECT_EQ(tensor.row_stride, cols);
    EXPECT_EQ(tensor.dtype, dtype);
  };
  expect_tensor(weight.values, 0, 3, 10, DType::uint8);
  expect_tensor(weight.scales, 32, 3, 3, DType::float16);
  expect_tensor(weight.zero_points, 64, 3, 3, DType::uint8);
  expect_tensor(weight.input_permutation, 80, 1, 10, DType::int32);
  EXPECT_EQ(storage_bytes(format, weight.shape()), 120u);

  const Weight plain = row_major_weight({}, {3, 10}, bytes, Device{});
  EXPECT_TRUE(plain.scales.empty() && plain.zero_points.empty() && plain.input_permutation.empty());
}

}  // namespace
}  // namespace quern
