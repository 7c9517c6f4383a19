#include "weights/weight.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>

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

TEST(DequantizeRowTest, IntegersAreScaledByTheirDistanceFromTheZeroPoint) {
  const WeightFormat format = {
      .stored = DType::uint4, .scale_dtype = DType::float32, .group_size = 3};
  // Rows of 5 inputs in 3 bytes; groups of 3 and 2.
  const std::vector<std::uint8_t> values = {0x98, 0x0f, 0x07, 0x10, 0x32, 0x04};
  const std::vector<float> scales = {1.0f, 0.5f, -2.0f, 0.25f};
  alignas(16) std::byte bytes[32] = {};
  std::memcpy(bytes, values.data(), 6);
  std::memcpy(bytes + 16, scales.data(), 16);
  ASSERT_EQ(storage_bytes(format, {2, 5}), 32u);
  const Weight weight = row_major_weight(format, {2, 5}, bytes, Device{});
  std::vector<float> row(5);
  dequantize_row(weight, 0, row);
  EXPECT_EQ(row, (std::vector<float>{0, 1, 7, -4, -0.5}));
  dequantize_row(weight, 1, row);
  EXPECT_EQ(row, (std::vector<float>{16, 14, 12, -1.25, -1}));
  row.resize(3);
  dequantize_row(weight, 0, 2, row);
  EXPECT_EQ(row, (std::vector<float>{7, -4, -0.5})) << "part of a row, over a group's end";
}

TEST(DequantizeRowTest, PermutedInputsAreGivenInTheOrderOfTheOp) {
  const WeightFormat format = {.stored = DType::uint8,
                               .scale_dtype = DType::float32,
                               .group_size = 2,
                               .has_zero_points = true,
                               .permuted_inputs = true};
  const std::vector<std::uint8_t> values = {10, 20, 30, 40};
  const std::vector<float> scales = {1.0f, 2.0f};
  const std::vector<std::uint8_t> zero_points = {0, 30};
  const std::vector<std::int32_t> permutation = {2, 0, 3, 1};
  alignas(16) std::byte bytes[64] = {};
  std::memcpy(bytes, values.data(), 4);
  std::memcpy(bytes + 16, scales.data(), 8);
  std::memcpy(bytes + 32, zero_points.data(), 2);
  std::memcpy(bytes + 48, permutation.data(), 16);
  ASSERT_EQ(storage_bytes(format, {1, 4}), 64u);
  const Weight weight = row_major_weight(format, {1, 4}, bytes, Device{});
  std::vector<float> row(4);
  dequantize_row(weight, 0, row);
  EXPECT_EQ(row, (std::vector<float>{20, 20, 10, 0}));
  row.resize(2);
  dequantize_row(weight, 0, 1, row);
  EXPECT_EQ(row, (std::vector<float>{20, 10}));
}

TEST(DequantizeRowTest, Float8IsScaledByBlocksOfRows) {
  const WeightFormat format = {.stored = DType::float8_e4m3,
                               .scale_dtype = DType::bfloat16,
                               .group_size = 0,
                               .group_rows = 2};
  const std::vector<std::uint8_t> values = {0x38, 0xb8, 0x7e, 0x01, 0x00, 0x7f};
  const std::vector<std::uint16_t> scales = {0x4000, 0x3f00};  // 2 and 0.5
  alignas(16) std::byte bytes[20] = {};
  std::memcpy(bytes, values.data(), 6);
  std::memcpy(bytes + 16, scales.data(), 4);
  const Weight weight = row_major_weight(format, {3, 2}, bytes, Device{});
  std::vector<float> row(2);
  dequantize_row(weight, 0, row);
  EXPECT_EQ(row, (std::vector<float>{2, -2}));
  dequantize_row(weight, 1, row);
  EXPECT_EQ(row, (std::vector<float>{896, 0x1p-8f}));
  dequantize_row(weight, 2, row);
  EXPECT_EQ(row[0], 0.0f);
  EXPECT_TRUE(std::isnan(row[1]));
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
