#include "weights/quant/quantize.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "base/half.h"
#include "tests/support/expect_error.h"
#include "weights/weight.h"

namespace quern {
namespace {

constexpr WeightShape kShape = {5, 300};  // groups of 128, 128 and 44

std::vector<float> made_up_numbers() {
  std::vector<float> numbers(static_cast<std::size_t>(kShape.out_features * kShape.in_features));
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    numbers[i] = std::sin(static_cast<float>(i)) * std::exp2(static_cast<float>(i % 5) - 6.0f);
  }
  return numbers;
}

/// Quantizes the numbers, row ranges of 2, and gives the weight over `bytes`.
Weight quantize(DType stored, const std::vector<float>& numbers, std::vector<std::byte>& bytes,
                const ActivationFormat& inputs = {}) {
  const WeightFormat format = load_time_format(stored, kShape.in_features, inputs);
  const RowReader floats = [&](std::int64_t first_row, std::int64_t num_rows, std::byte* out) {
    std::memcpy(out, numbers.data() + first_row * kShape.in_features,
                static_cast<std::size_t>(num_rows * kShape.in_features) * sizeof(float));
  };
  const QuantizingReader reader(floats, format, kShape, "w");
  bytes.resize(storage_bytes(format, kShape));
  const auto sources = reader.components();
  const auto places = component_places(format, kShape);
  for (std::size_t i = 0; i < places.size(); ++i) {
    EXPECT_EQ(sources.at(i).component, places[i].component);
    for (std::int64_t row = 0; row < places[i].rows; row += 2) {
      const std::int64_t count = std::min<std::int64_t>(2, places[i].rows - row);
      sources[i].read(row, count, bytes.data() + places[i].offset + row * places[i].row_bytes());
    }
  }
  return row_major_weight(format, kShape, bytes.data(), Device{});
}

TEST(Quantize, EveryNumberIsWithinHalfAStep) {
  const std::vector<float> numbers = made_up_numbers();
  for (const DType stored : {DType::uint4, DType::uint8, DType::float8_e4m3}) {
    std::vector<std::byte> bytes;
    const Weight weight = quantize(stored, numbers, bytes);
    const float steps = stored == DType::uint4 ? 15.0f : 255.0f;
    std::vector<float> row(300);
    for (std::int64_t r = 0; r < 5; ++r) {
      dequantize_row(weight, r, row);
      for (std::int64_t begin = 0; begin < 300; begin += 128) {
        const std::int64_t end = std::min<std::int64_t>(begin + 128, 300);
        float largest = 0.0f;
        for (std::int64_t i = begin; i < end; ++i) {
          largest = std::max(largest, std::fabs(numbers[r * 300 + i]));
        }
        for (std::int64_t i = begin; i < end; ++i) {
          const float exact = numbers[r * 300 + i];
          // Integers: half a step; for the largest, which is cut to the last code, also what
          // rounding the scale to 11 bits moves that code, (steps - 1) / 2 steps.
          // float8: half of 2^-3 of the number's power of two, and of the smallest step.
          const float bound = stored == DType::float8_e4m3
                                  ? std::fabs(exact) * 0x1.001p-4f + largest / 448 * 0x1p-10f
                                  : largest / steps * (1.0f + (steps - 1) * 0x1p-11f);
          EXPECT_LE(std::fabs(row[i] - exact), bound) << dtype_name(stored) << ' ' << r << ' ' << i;
        }
      }
    }
  }
}

TEST(Quantize, FloatsForRoundedTokensHaveAScaleForEachRow) {
  const ActivationFormat tokens = {.rounding = ActivationRounding::float8_e4m3};
  EXPECT_EQ(load_time_format(DType::float8_e4m3, 300, tokens).group_size, 0);
  EXPECT_EQ(load_time_format(DType::float8_e4m3, 300, tokens).activation, tokens);
  EXPECT_EQ(load_time_format(DType::float8_e4m3, 300).group_size, 128);
  EXPECT_EQ(load_time_format(DType::float8_e4m3, 300, {ActivationRounding::int8}).group_size, 128);
  EXPECT_EQ(load_time_format(DType::uint8, 300, tokens).group_size, 128);

  const std::vector<float> numbers = made_up_numbers();
  std::vector<std::byte> bytes;
  const Weight weight = quantize(DType::float8_e4m3, numbers, bytes, tokens);
  EXPECT_EQ(weight.scales.cols, 1);
  std::vector<float> row(300);
  for (std::int64_t r = 0; r < 5; ++r) {
    dequantize_row(weight, r, row);
    float largest = 0.0f;
    for (int i = 0; i < 300; ++i) largest = std::max(largest, std::fabs(numbers[r * 300 + i]));
    for (int i = 0; i < 300; ++i) {
      const float number = numbers[r * 300 + i];
      // Half of the spacing of three bits, at the least of subnormal numbers.
      const float bound = std::max(std::fabs(number) * 0x1p-4f, largest / 448.0f * 0x1p-10f);
      EXPECT_LE(std::fabs(row[i] - number), bound * (1.0f + 0x1p-20f));
    }
  }
}

TEST(Quantize, W8A8HasAScaleForEachRow) {
  const ActivationFormat tokens = {.rounding = ActivationRounding::int8};
  EXPECT_EQ(load_time_format(DType::uint8, 300, tokens).group_size, 0);
  EXPECT_EQ(load_time_format(DType::uint8, 300, tokens).activation, tokens);
  // Where kernels do not multiply integers of whole rows, groups are the more exact.
  EXPECT_EQ(load_time_format(DType::uint8, 300, {ActivationRounding::int8, 32}).group_size, 128);
  EXPECT_EQ(load_time_format(DType::uint4, 300, tokens).group_size, 128);

  const std::vector<float> numbers = made_up_numbers();
  std::vector<std::byte> bytes;
  const Weight weight = quantize(DType::uint8, numbers, bytes, tokens);
  EXPECT_EQ(weight.scales.cols, 1);
  std::vector<float> row(300);
  for (std::int64_t r = 0; r < 5; ++r) {
    dequantize_row(weight, r, row);
    float largest = 0.0f;
    for (int i = 0; i < 300; ++i) largest = std::max(largest, std::fabs(numbers[r * 300 + i]));
    // As above: half a step, and what rounding the scale moves the last code.
    const float bound = largest / 255.0f * (1.0f + 254.0f * 0x1p-11f);
    for (int i = 0; i < 300; ++i) EXPECT_LE(std::fabs(row[i] - numbers[r * 300 + i]), bound);
  }
}

TEST(Quantize, ZerosStayZeroAndTheLargestIsInRange) {
  std::vector<float> numbers(1500, 0.0f);
  numbers[0] = 7.5f;  // row 0, group 0: scale 1
  numbers[1] = -7.5f;
  numbers[2] = 2.5f;
  std::vector<std::byte> bytes;
  const Weight weight = quantize(DType::uint4, numbers, bytes);
  std::vector<float> row(300);
  dequantize_row(weight, 0, row);
  EXPECT_EQ(row[0], 7.0f) << "15 is the largest";
  EXPECT_EQ(row[1], -8.0f);
  EXPECT_EQ(row[2], 2.0f) << "to even on a tie";
  EXPECT_EQ(row[3], 0.0f);
  dequantize_row(weight, 4, row);
  EXPECT_EQ(row, std::vector<float>(300, 0.0f));
}

TEST(Quantize, NumbersWithoutAScaleAreRefused) {
  for (const float number :
       {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN(), 1e30f}) {
    std::vector<float> numbers = made_up_numbers();
    numbers[700] = number;
    std::vector<std::byte> bytes;
    EXPECT_QUERN_ERROR(ErrorCode::unsupported, ({"w: quantizing to uint4", "finite numbers"}),
                       quantize(DType::uint4, numbers, bytes));
  }
}

}  // namespace
}  // namespace quern
