#include "base/half.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

namespace quern {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

/// A binary floating-point format, as IEEE 754 describes one.
struct Format {
  int mantissa_bits;
  int min_exponent;  ///< of the smallest normal number
  double max_finite;
};
constexpr Format kHalf{10, -14, 65504.0};
constexpr Format kBFloat16{7, -126, 0x1.fep127};

/// The value of the nearest number of `format`, ties to even, by exact double arithmetic.
double nearest(const Format& format, float value) {
  if (value == 0.0f || !std::isfinite(value)) return value;
  const int exponent = std::max(std::ilogb(value), format.min_exponent);
  const double unit = std::ldexp(1.0, exponent - format.mantissa_bits);
  const double rounded = std::nearbyint(double{value} / unit) * unit;
  if (std::fabs(rounded) <= format.max_finite) return rounded;
  return std::copysign(double{kInfinity}, value);
}

/// Equal as numbers; zeros differ by sign, all NaNs are equal.
bool same(double a, double b) {
  return (std::isnan(a) && std::isnan(b)) || (a == b && std::signbit(a) == std::signbit(b));
}

/// Hard cases of rounding: around each representable number of both formats, halfway between
/// neighbours, and all over the bit patterns.
std::vector<float> hard_floats() {
  std::vector<float> values = {0.0f, -0.0f, kInfinity, -kInfinity, kNaN, -kNaN};
  const auto add_around = [&](float value) {
    for (const float each :
         {value, std::nextafter(value, kInfinity), std::nextafter(value, 0.0f)}) {
      values.push_back(each);
      values.push_back(-each);
    }
  };
  for (std::uint32_t bits = 0; bits < 0x7c00u; ++bits) {
    const float value = to_float(Half{static_cast<std::uint16_t>(bits)});
    const float next = to_float(Half{static_cast<std::uint16_t>(bits + 1)});
    add_around(value);
    add_around(std::isinf(next) ? 65520.0f : (value + next) / 2);
  }
  for (std::uint32_t bits = 0; bits < 0x7f80u; ++bits) {
    add_around(std::bit_cast<float>(bits << 16));
    add_around(std::bit_cast<float>(bits << 16 | 0x8000u));
  }
  std::mt19937 generator(7);
  for (int i = 0; i < 200'000; ++i) {
    values.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(generator())));
  }
  return values;
}

TEST(Half, EveryValueComesBack) {
  for (std::uint32_t bits = 0; bits < 0x10000u; ++bits) {
    const Half half{static_cast<std::uint16_t>(bits)};
    const float value = to_float(half);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(to_float(to_half(value)))) << bits;
      EXPECT_GT(bits & 0x7fffu, 0x7c00u);
    } else {
      EXPECT_EQ(to_half(value).bits, bits);
    }
  }
}

TEST(Half, ValuesAreThoseOfIeee754) {
  for (std::uint32_t bits = 0; bits < 0x7c00u; ++bits) {
    const int exponent = static_cast<int>(bits >> 10);
    const double mantissa = static_cast<double>(bits & 0x3ffu);
    const double expected =
        exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024.0 + mantissa, exponent - 25);
    EXPECT_EQ(to_float(Half{static_cast<std::uint16_t>(bits)}), expected);
    EXPECT_EQ(to_float(Half{static_cast<std::uint16_t>(bits | 0x8000u)}), -expected);
  }
  EXPECT_EQ(to_float(Half{0x7c00}), kInfinity);
  EXPECT_EQ(to_float(Half{0xfc00}), -kInfinity);
}

TEST(Half, RoundsToNearestEven) {
  for (const float value : hard_floats()) {
    const float rounded = to_float(to_half(value));
    ASSERT_TRUE(same(rounded, nearest(kHalf, value))) << value << " became " << rounded;
  }
}

TEST(Half, OverflowBeginsHalfwayBeyondTheLargest) {
  EXPECT_EQ(to_half(std::nextafter(65520.0f, 0.0f)).bits, 0x7bff);
  EXPECT_EQ(to_half(65520.0f).bits, 0x7c00);
  EXPECT_EQ(to_half(-1e30f).bits, 0xfc00);
}

TEST(Half, TinyNumbersBecomeSubnormalOrZero) {
  EXPECT_EQ(to_half(0x1p-24f).bits, 1);
  EXPECT_EQ(to_half(0x1p-25f).bits, 0) << "a tie goes to even";
  EXPECT_EQ(to_half(0x1.8p-24f).bits, 2) << "a tie goes to even";
  EXPECT_EQ(to_half(std::nextafter(0x1p-25f, 1.0f)).bits, 1);
  EXPECT_EQ(to_half(-0x1p-149f).bits, 0x8000);
}

TEST(BFloat16, EveryValueComesBack) {
  for (std::uint32_t bits = 0; bits < 0x10000u; ++bits) {
    const float value = to_float(BFloat16{static_cast<std::uint16_t>(bits)});
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(to_float(to_bfloat16(value)))) << bits;
    } else {
      EXPECT_EQ(to_bfloat16(value).bits, bits);
    }
  }
}

TEST(BFloat16, RoundsToNearestEven) {
  for (const float value : hard_floats()) {
    const float rounded = to_float(to_bfloat16(value));
    ASSERT_TRUE(same(rounded, nearest(kBFloat16, value))) << value << " became " << rounded;
  }
}

TEST(BFloat16, NaNsWithLowPayloadStayNaN) {
  EXPECT_TRUE(std::isnan(to_float(to_bfloat16(std::bit_cast<float>(0x7f800001u)))));
  EXPECT_TRUE(std::isnan(to_float(to_half(std::bit_cast<float>(0x7f800001u)))));
}

TEST(RoundTo, IsStoringAndLoading) {
  EXPECT_EQ(round_to(DType::float32, 0.1f), 0.1f);
  EXPECT_EQ(round_to(DType::float16, 0.1f), 0.0999755859375f);
  EXPECT_EQ(round_to(DType::bfloat16, 0.1f), 0.10009765625f);
}

class BulkConversion : public ::testing::TestWithParam<DType> {};

TEST_P(BulkConversion, GivesWhatOneByOneGives) {
  const DType dtype = GetParam();
  const std::vector<float> values = hard_floats();
  std::vector<std::byte> stored(values.size() * dtype_bytes(dtype));
  store_floats(dtype, values, stored.data());
  std::vector<float> loaded(values.size());
  load_floats(dtype, stored.data(), loaded);
  for (std::size_t i = 0; i < values.size(); ++i) {
    ASSERT_TRUE(same(loaded[i], round_to(dtype, values[i]))) << values[i] << " at " << i;
  }
}

TEST_P(BulkConversion, TakesAnyLengthAndAlignmentAndNothingBeyond) {
  const DType dtype = GetParam();
  const std::size_t element_bytes = dtype_bytes(dtype);
  for (std::size_t count = 0; count < 40; ++count) {
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<float>(i) - 7.5f;
    std::vector<std::byte> stored(1 + count * element_bytes + 1, std::byte{0xa5});
    store_floats(dtype, values, stored.data() + 1);
    EXPECT_EQ(stored.front(), std::byte{0xa5});
    EXPECT_EQ(stored.back(), std::byte{0xa5});
    std::vector<float> loaded(count);
    load_floats(dtype, stored.data() + 1, loaded);
    EXPECT_EQ(loaded, values);
  }
}

INSTANTIATE_TEST_SUITE_P(FloatTypes, BulkConversion,
                         ::testing::Values(DType::float32, DType::float16, DType::bfloat16),
                         [](const auto& test) { return dtype_name(test.param); });

}  // namespace
}  // namespace quern
