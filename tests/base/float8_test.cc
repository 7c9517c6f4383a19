#include "base/float8.h"

#include <gtest/gtest.h>

namespace quern {
namespace {

TEST(Float8, ValuesAreThoseOfE4M3) {
  EXPECT_EQ(kFloat8E4M3[0x00], 0.0f);
  EXPECT_EQ(kFloat8E4M3[0x01], 0x1p-9f);
  EXPECT_EQ(kFloat8E4M3[0x07], 7 * 0x1p-9f);
  EXPECT_EQ(kFloat8E4M3[0x08], 0x1p-6f);
  EXPECT_EQ(kFloat8E4M3[0x38], 1.0f);
  EXPECT_EQ(kFloat8E4M3[0xb9], -1.125f);
  EXPECT_EQ(kFloat8E4M3[0x7e], 448.0f);
  EXPECT_TRUE(std::isnan(kFloat8E4M3[0x7f]));
  EXPECT_TRUE(std::isnan(kFloat8E4M3[0xff]));
}

TEST(Float8, EveryNumberRoundsToItself) {
  for (unsigned bits = 0; bits < 256; ++bits) {
    const float value = kFloat8E4M3[bits];
    if (std::isnan(value)) continue;
    EXPECT_EQ(round_to_float8_e4m3(value), value);
    EXPECT_EQ(float8_e4m3_bits(value), bits);
  }
}

TEST(Float8, RoundsToNearestEvenAndSaturates) {
  // Halfway between neighbours the even mantissa wins; a bit beyond halfway the nearer number.
  for (unsigned bits = 0; bits < 0x7e; ++bits) {
    const float low = kFloat8E4M3[bits];
    const float high = kFloat8E4M3[bits + 1];
    const float middle = (low + high) / 2;
    EXPECT_EQ(round_to_float8_e4m3(middle), bits % 2 == 0 ? low : high) << low;
    EXPECT_EQ(round_to_float8_e4m3(std::nextafter(middle, 500.0f)), high) << low;
    EXPECT_EQ(round_to_float8_e4m3(std::nextafter(middle, -500.0f)), low) << low;
    EXPECT_EQ(float8_e4m3_bits(-high), bits + 1 + 0x80);
    for (const float x :
         {middle, std::nextafter(middle, 500.0f), std::nextafter(middle, -500.0f)}) {
      EXPECT_EQ(kFloat8E4M3[float8_e4m3_bits(x)], round_to_float8_e4m3(x)) << x;
      EXPECT_EQ(kFloat8E4M3[float8_e4m3_bits(-x)], round_to_float8_e4m3(-x)) << x;
    }
  }
  EXPECT_EQ(round_to_float8_e4m3(1e9f), 448.0f);
  EXPECT_EQ(round_to_float8_e4m3(-449.0f), -448.0f);
  EXPECT_EQ(float8_e4m3_bits(1e9f), 0x7e);
  EXPECT_EQ(float8_e4m3_bits(-std::numeric_limits<float>::infinity()), 0xfe);
  EXPECT_EQ(float8_e4m3_bits(-0.0f), 0x80);
  EXPECT_EQ(float8_e4m3_bits(std::nanf("")), 0x7f);
}

}  // namespace
}  // namespace quern
