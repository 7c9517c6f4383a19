#include "base/philox.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace quern {
namespace {

using Words = std::array<std::uint32_t, 4>;

// The known-answer vectors that Random123 publishes (tests/kat_vectors, philox4x32, 10 rounds).
TEST(Philox, KnownAnswers) {
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

// The layout of a draw is stable: a seed must give the same text in every version and on every
// device.
TEST(Philox, DrawWordIsPinned) {
  const Words expected = {0xefba9aed, 0x40a8e630, 0xec3760d9, 0x2a45cc2e};
  for (std::uint32_t i = 0; i < 4; ++i) {
    EXPECT_EQ(draw_word(0x123456789abcdef0u, 5, 77, 4000 + i), expected[i]);
  }
}

TEST(Philox, DrawWordDependsOnEveryArgument) {
  const std::uint32_t word = draw_word(1, 2, 3, 4);
  EXPECT_NE(word, draw_word(2, 2, 3, 4));
  EXPECT_NE(word, draw_word(1 + (std::uint64_t{1} << 32), 2, 3, 4));
  EXPECT_NE(word, draw_word(1, 3, 3, 4));
  EXPECT_NE(word, draw_word(1, 2, 4, 4));
  EXPECT_NE(word, draw_word(1, 2, 3, 5));
  EXPECT_NE(word, draw_word(1, 2, 3, 8));
}

TEST(Gumbel, IsFiniteAtBothEndsAndFallsWithTheWord) {
  EXPECT_NEAR(gumbel(0), 33 * std::log(2.0), 1e-5);
  EXPECT_NEAR(gumbel(0xffffffffu), -std::log(24 * std::log(2.0)), 1e-5);
  float previous = gumbel(0);
  for (std::uint32_t word = 1; word != 0; word = word > 0x7fffffffu ? 0 : word * 2) {
    EXPECT_LT(gumbel(word), previous) << word;
    previous = gumbel(word);
  }
}

TEST(Gumbel, MatchesADoublePrecisionQuantile) {
  for (std::uint64_t word = 0; word < 0xff000000u; word += 999'983) {
    const double v = (static_cast<double>(word) + 0.5) * 0x1p-32;
    const double expected = -std::log(-std::log1p(-v));
    // 2^-24 relative error of v and of each function
    const double slope = v / ((1 - v) * -std::log1p(-v));
    EXPECT_NEAR(gumbel(static_cast<std::uint32_t>(word)), expected,
                0x1p-24 * (slope + 4 * std::fabs(expected) + 4))
        << word;
  }
}

TEST(Gumbel, MomentsAndDistributionOfManyDraws) {
  constexpr int kDraws = 400'000;
  std::vector<double> draws(kDraws);
  for (int i = 0; i < kDraws; ++i) draws[i] = gumbel(draw_word(42, 0, i / 1000, i % 1000));
  double mean = 0;
  for (const double draw : draws) mean += draw / kDraws;
  double variance = 0;
  for (const double draw : draws) variance += (draw - mean) * (draw - mean) / (kDraws - 1);
  const double pi = std::acos(-1.0);
  const double true_variance = pi * pi / 6;
  // Five standard errors; the kurtosis of a Gumbel variate is 5.4.
  EXPECT_NEAR(mean, 0.57721566490153, 5 * std::sqrt(true_variance / kDraws));
  EXPECT_NEAR(variance, true_variance, 5 * true_variance * std::sqrt(4.4 / kDraws));

  std::sort(draws.begin(), draws.end());
  double distance = 0;
  for (int i = 0; i < kDraws; ++i) {
    const double cdf = std::exp(-std::exp(-draws[i]));
    distance = std::max({distance, cdf - i / double{kDraws}, (i + 1) / double{kDraws} - cdf});
  }
  EXPECT_LT(distance * std::sqrt(kDraws), 1.95) << "Kolmogorov-Smirnov at 0.1 percent";
}

}  // namespace
}  // namespace quern
