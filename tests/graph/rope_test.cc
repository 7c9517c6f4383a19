#include "graph/rope.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/expect_error.h"

namespace quern {
namespace {

// Expected numbers: transformers 5.23's ROPE_INIT_FUNCTIONS and Qwen's RotaryEmbedding, run in
// float32. A few frequencies of each, including the first and last.
struct Expected {
  std::size_t index;
  float inv_freq;
};

void expect_inv_freq(const Rope& rope, double alpha, std::initializer_list<Expected> expected) {
  const std::vector<float> actual = rope_inv_freq(rope, alpha);
  ASSERT_EQ(actual.size(), static_cast<std::size_t>(rope.rotary_dim / 2));
  for (const Expected& item : expected) {
    EXPECT_NEAR(actual[item.index], item.inv_freq, 5e-7f * item.inv_freq) << item.index;
  }
}

Rope make_rope(RopeType type, int rotary_dim, double theta) {
  Rope rope;
  rope.type = type;
  rope.rotary_dim = rotary_dim;
  rope.theta = theta;
  return rope;
}

Rope scaled_rope(RopeType type, int rotary_dim, double theta, double factor,
                 int original_max_position) {
  Rope rope = make_rope(type, rotary_dim, theta);
  rope.factor = factor;
  rope.original_max_position = original_max_position;
  return rope;
}

TEST(RopeInvFreq, Standard) {
  expect_inv_freq(
      make_rope(RopeType::standard, 128, 1e4), 1.0,
      {{0, 1.0f}, {1, 8.6596435e-01f}, {21, 4.8696753e-02f}, {32, 1e-02f}, {63, 1.1547821e-04f}});
  expect_inv_freq(make_rope(RopeType::standard, 64, 5e5), 1.0,
                  {{0, 1.0f}, {1, 6.636012e-01f}, {16, 1.4142134e-03f}, {31, 3.0138583e-06f}});
}

TEST(RopeInvFreq, SmallestRotaryDim) {
  expect_inv_freq(make_rope(RopeType::standard, 2, 1e4), 1.0, {{0, 1.0f}});
}

TEST(RopeInvFreq, Linear) {
  expect_inv_freq(scaled_rope(RopeType::linear, 128, 1e4, 4.0, 0), 1.0,
                  {{0, 0.25f}, {1, 2.1649109e-01f}, {42, 5.9284345e-04f}, {63, 2.8869552e-05f}});
}

TEST(RopeInvFreq, DynamicGrowsWithTheLength) {
  const Rope rope = scaled_rope(RopeType::dynamic, 128, 1e4, 2.0, 2048);
  EXPECT_EQ(rope_alpha(rope, 1), 1.0);
  EXPECT_EQ(rope_alpha(rope, 2048), 1.0);
  expect_inv_freq(rope, rope_alpha(rope, 2048), {{1, 8.6596435e-01f}, {63, 1.1547821e-04f}});
  EXPECT_NEAR(rope_alpha(rope, 5000), 2.0 * 5000 / 2048 - 1.0, 1e-6);
  expect_inv_freq(rope, rope_alpha(rope, 5000),
                  {{0, 1.0f},
                   {1, 8.475172e-01f},
                   {21, 3.09826e-02f},
                   {48, 3.5573493e-04f},
                   {63, 2.9740862e-05f}});
}

TEST(RopeInvFreq, Llama31) {
  expect_inv_freq(scaled_rope(RopeType::llama3, 128, 5e5, 8.0, 8192), 1.0,
                  {{0, 1.0f},
                   {1, 8.146172e-01f},
                   {21, 1.3490421e-02f},
                   {32, 5.24846e-04f},
                   {42, 2.2748927e-05f},
                   {63, 3.068926e-07f}});
}

TEST(RopeInvFreq, Llama32) {
  expect_inv_freq(scaled_rope(RopeType::llama3, 64, 5e5, 32.0, 8192), 1.0,
                  {{0, 1.0f},
                   {10, 1.656044e-02f},
                   {16, 4.295567e-04f},
                   {21, 5.687232e-06f},
                   {31, 9.418307e-08f}});
}

TEST(RopeInvFreq, Yarn) {
  expect_inv_freq(scaled_rope(RopeType::yarn, 128, 1e6, 4.0, 32768), 1.0,
                  {{0, 1.0f},
                   {1, 8.058422e-01f},
                   {21, 1.0746079e-02f},
                   {32, 6.0294115e-04f},
                   {42, 2.8869552e-05f},
                   {63, 3.1023444e-07f}});
  expect_inv_freq(
      scaled_rope(RopeType::yarn, 64, 1e4, 40.0, 4096), 1.0,
      {{0, 1.0f}, {10, 5.623413e-02f}, {16, 5.5000004e-03f}, {21, 4.149904e-04f}, {24, 2.5e-05f}});
}

TEST(RopeInvFreq, YarnWithItsOwnRange) {
  Rope rope = scaled_rope(RopeType::yarn, 64, 1e4, 8.0, 1024);
  rope.truncate = false;
  rope.beta_fast = 16.0;
  rope.beta_slow = 2.0;
  expect_inv_freq(rope, 1.0,
                  {{0, 1.0f},
                   {8, 1e-01f},
                   {10, 4.3048766e-02f},
                   {16, 1.25e-03f},
                   {21, 2.9642173e-04f},
                   {31, 1.6669019e-05f}});
}

TEST(RopeInvFreq, YarnWithAnEmptyRangeIsAStep) {
  Rope rope = scaled_rope(RopeType::yarn, 64, 1e4, 8.0, 1024);
  rope.truncate = false;
  rope.beta_fast = rope.beta_slow = 4.0;
  const auto standard = rope_inv_freq(make_rope(RopeType::standard, 64, 1e4), 1.0);
  const auto actual = rope_inv_freq(rope, 1.0);
  // 64 · ln(1024 / (4 · 2π)) / (2 · ln 10000) = 12.88
  for (std::size_t i = 0; i < actual.size(); ++i) {
    EXPECT_NEAR(actual[i], standard[i] / (i <= 12 ? 1.0f : 8.0f), 5e-7f * standard[i]) << i;
  }
}

TEST(RopeInvFreq, Qwen) {
  const Rope rope = scaled_rope(RopeType::qwen_ntk, 128, 1e4, 1.0, 8192);
  expect_inv_freq(rope, 1.0, {{1, 8.6596435e-01f}, {63, 1.1547821e-04f}});
  expect_inv_freq(rope, 3.0,
                  {{0, 1.0f}, {1, 8.5099435e-01f}, {32, 5.723382e-03f}, {63, 3.8492733e-05f}});
  expect_inv_freq(rope, 7.0,
                  {{0, 1.0f}, {1, 8.396258e-01f}, {32, 3.7217215e-03f}, {63, 1.6496886e-05f}});
}

TEST(RopeAlpha, QwenDoublesInSteps) {
  const Rope rope = scaled_rope(RopeType::qwen_ntk, 128, 1e4, 1.0, 8192);
  const std::pair<int, double> expected[] = {{1, 1},      {4096, 1},  {8192, 1},  {8193, 3},
                                             {16384, 3},  {16385, 7}, {32768, 7}, {32769, 15},
                                             {65536, 15}, {65537, 31}};
  for (const auto& [num_tokens, alpha] : expected) {
    EXPECT_EQ(rope_alpha(rope, num_tokens), alpha) << num_tokens;
  }
  // Powers of two, where a logarithm that is slightly too large would step early.
  for (int doublings = 0; doublings < 12; ++doublings) {
    const double alpha = doublings == 0 ? 1.0 : std::exp2(doublings + 1) - 1.0;
    EXPECT_EQ(rope_alpha(rope, std::int64_t{8192} << doublings), alpha) << doublings;
  }
}

TEST(RopeAlpha, IsOneForTypesThatDoNotGrow) {
  for (const RopeType type :
       {RopeType::standard, RopeType::linear, RopeType::llama3, RopeType::yarn}) {
    EXPECT_EQ(rope_alpha(scaled_rope(type, 64, 1e4, 8.0, 16), 1 << 20), 1.0);
  }
}

TEST(RopeInvFreq, RefusesWhatHasNoMeaning) {
  EXPECT_QUERN_ERROR(ErrorCode::internal, ({"rotary_dim"}),
                     rope_inv_freq(make_rope(RopeType::standard, 63, 1e4), 1.0));
  EXPECT_QUERN_ERROR(ErrorCode::internal, ({"rotary_dim"}),
                     rope_inv_freq(make_rope(RopeType::standard, 0, 1e4), 1.0));
  EXPECT_QUERN_ERROR(ErrorCode::internal, ({"alpha"}),
                     rope_inv_freq(make_rope(RopeType::standard, 64, 1e4), 2.0));
  EXPECT_QUERN_ERROR(ErrorCode::internal, ({"alpha"}),
                     rope_inv_freq(make_rope(RopeType::qwen_ntk, 2, 1e4), 3.0));
}

}  // namespace
}  // namespace quern
