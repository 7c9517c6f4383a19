#include "compare/bounds.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "base/half.h"
#include "compare/value_comparison.h"

namespace quern {
namespace {

HostRows random_rows(std::int64_t rows, std::int64_t cols, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  HostRows result{std::vector<float>(static_cast<std::size_t>(rows * cols)), cols};
  std::generate(result.values.begin(), result.values.end(), [&] { return normal(generator); });
  return result;
}

/// in · weightᵀ summed in float32, from the front or from the back, rounded to `dtype`.
HostRows product(const HostRows& in, const HostRows& weight, bool backwards, DType dtype) {
  HostRows out{{}, weight.rows()};
  for (std::int64_t row = 0; row < in.rows(); ++row) {
    for (std::int64_t col = 0; col < weight.rows(); ++col) {
      float sum = 0.0f;
      for (std::int64_t i = 0; i < in.cols; ++i) {
        const auto k = static_cast<std::size_t>(backwards ? in.cols - 1 - i : i);
        sum += in.row(row)[k] * weight.row(col)[k];
      }
      out.values.push_back(round_to(dtype, sum));
    }
  }
  return out;
}

MatrixLengths lengths_of(const HostRows& matrix) {
  MatrixLengths lengths;
  lengths.add_rows(matrix);
  return lengths;
}

double excess(const HostRows& tested, const HostRows& reference, const ErrorBounds& bounds,
              DType dtype) {
  return compare_rows({tested.values, reference.values, reference.cols, dtype, bounds.elements, {}})
      .excess;
}

/// in · weightᵀ as float8 tensor cores of an H100 sum it: 32 products at a time and the sum so far
/// are cut at 13 bits below the largest of them; 128 at a time are added in float32.
HostRows cut_product(const HostRows& in, const HostRows& weight) {
  HostRows out{{}, weight.rows()};
  for (std::int64_t row = 0; row < in.rows(); ++row) {
    for (std::int64_t col = 0; col < weight.rows(); ++col) {
      float sum = 0.0f;
      double stage = 0.0;
      for (std::int64_t begin = 0; begin < in.cols; begin += 32) {
        std::vector<double> addends = {stage};
        for (std::int64_t i = begin; i < std::min(begin + 32, in.cols); ++i) {
          const auto k = static_cast<std::size_t>(i);
          addends.push_back(double{in.row(row)[k]} * weight.row(col)[k]);
        }
        double largest = 0.0;
        for (const double addend : addends) largest = std::max(largest, std::abs(addend));
        const double unit = largest > 0.0 ? std::exp2(std::floor(std::log2(largest)) - 13.0) : 1.0;
        stage = 0.0;
        for (const double addend : addends) stage += std::trunc(addend / unit) * unit;
        if (begin + 32 < in.cols && (begin + 32) % 128 != 0) continue;
        sum += static_cast<float>(stage);
        stage = 0.0;
      }
      out.values.push_back(sum);
    }
  }
  return out;
}

TEST(MatrixLengths, AreThoseOfRowsAndColumns) {
  MatrixLengths lengths;
  lengths.add_rows({{3, 4, 0, 1}, 2});
  lengths.add_rows({{0, 2}, 2});
  EXPECT_EQ(lengths.rows, (std::vector<double>{5, 1, 2}));
  EXPECT_EQ(lengths.col_squares, (std::vector<double>{9, 21}));
  std::vector<float> ones(19, 1.0f);
  EXPECT_DOUBLE_EQ(row_length(ones), std::sqrt(19.0));
}

TEST(LinearBounds, HoldEveryOrderOfSummationAndNoWrongTerm) {
  const HostRows in = random_rows(5, 300, 1);
  const HostRows weight = random_rows(40, 300, 2);
  for (const DType dtype : {DType::float32, DType::float16, DType::bfloat16}) {
    const HostRows reference = product(in, weight, false, dtype);
    const ErrorBounds bounds = linear_bounds(in, lengths_of(weight), reference);
    HostRows tested = product(in, weight, true, dtype);
    EXPECT_LE(excess(tested, reference, bounds, dtype), 1.0);
    tested.values[77] += 2.0f;  // as much as two of three hundred products
    EXPECT_GT(excess(tested, reference, bounds, dtype), 10.0);
  }
}

/// Rows rounded to int8 with scales of their own.
HostRows int8_rows(const HostRows& in) {
  HostRows out = in;
  for (std::int64_t row = 0; row < in.rows(); ++row) {
    float largest = 0.0f;
    for (const float x : in.row(row)) largest = std::max(largest, std::fabs(x));
    const float scale = largest / 127.0f;
    for (std::int64_t k = 0; k < in.cols; ++k) {
      float& value = out.values[static_cast<std::size_t>(row * in.cols + k)];
      value = scale * std::nearbyint(value / scale);
    }
  }
  return out;
}

TEST(LinearBounds, ExpectInputsToBeRoundedAlike) {
  const HostRows in = random_rows(5, 300, 1);
  const HostRows weight = random_rows(40, 300, 2);
  MatrixLengths lengths = lengths_of(weight);
  lengths.inputs = {.rounding = ActivationRounding::int8};
  const HostRows rounded = int8_rows(in);
  const HostRows reference = product(rounded, weight, false, DType::float32);
  const ErrorBounds bounds = linear_bounds(in, lengths, reference);
  EXPECT_LE(
      excess(product(rounded, weight, true, DType::float32), reference, bounds, DType::float32),
      1.0);
  const HostRows exact = product(in, weight, true, DType::float32);
  EXPECT_GT(excess(exact, reference, bounds, DType::float32), 10.0) << "inputs as they are";
}

// Where the last bits of a norm differ, a rounding may fall either way; nothing more.
TEST(NormLinearBounds, AllowRoundingsAtAnEdge) {
  const HostRows sum = random_rows(20, 400, 3);
  const HostRows weight = random_rows(40, 400, 2);
  MatrixLengths lengths = lengths_of(weight);
  lengths.inputs = {.rounding = ActivationRounding::int8};
  const std::vector<float> gain(400, 1.0f);
  NormLinear op{};
  op.norm = NormKind::rms;
  op.epsilon = 1e-5f;
  const auto normed_with = [&](float factor) {
    HostRows normed = sum;
    for (std::int64_t row = 0; row < sum.rows(); ++row) {
      double square_sum = 0.0;
      for (const float x : sum.row(row)) square_sum += double{x} * x;
      const auto scale = static_cast<float>(1.0 / std::sqrt(square_sum / 400.0 + 1e-5));
      for (std::int64_t k = 0; k < 400; ++k) {
        float& value = normed.values[static_cast<std::size_t>(row * 400 + k)];
        value = value * scale * (k % 3 == 0 ? factor : 1.0f);
      }
    }
    return normed;
  };
  const HostRows reference = product(int8_rows(normed_with(1.0f)), weight, false, DType::float32);
  const ErrorBounds bounds =
      norm_linear_bounds(op, {sum, gain, {}, lengths, reference, DType::float32});
  const auto excess_with = [&](const HostRows& normed) {
    return excess(product(normed, weight, true, DType::float32), reference, bounds, DType::float32);
  };
  EXPECT_LE(excess_with(int8_rows(normed_with(1.0f + 0x1p-22f))), 1.0);
  EXPECT_GT(excess_with(normed_with(1.0f)), 1.0) << "not rounded";
}

TEST(LinearBounds, AllowAQuantizedWeightToBeRounded) {
  const HostRows in = random_rows(5, 300, 1);
  const HostRows weight = random_rows(40, 300, 2);
  HostRows other_weight = weight;  // errors of half the bound, of both signs
  for (std::size_t i = 0; i < other_weight.values.size(); ++i) {
    other_weight.values[i] *= i * 7 % 13 < 6 ? 1.0f + 0x1p-9f : 1.0f - 0x1p-9f;
  }
  const HostRows reference = product(in, weight, false, DType::float16);
  HostRows tested = product(in, other_weight, false, DType::float16);
  MatrixLengths lengths = lengths_of(weight);
  EXPECT_GT(excess(tested, reference, linear_bounds(in, lengths, reference), DType::float16), 1.0);
  lengths.rounding = 0x1p-8;
  const ErrorBounds bounds = linear_bounds(in, lengths, reference);
  ASSERT_EQ(bounds.nmse_slack.size(), 5u);
  EXPECT_LE(excess(tested, reference, bounds, DType::float16), 1.0);
  tested.values[77] += 10.0f;
  EXPECT_GT(excess(tested, reference, bounds, DType::float16), 1.0);
}

TEST(NormLinearBounds, KnowTheNumbersThatLieBetweenTwoRoundings) {
  const HostRows sum = random_rows(3, 64, 3);
  const HostRows weight = random_rows(16, 64, 4);
  const std::vector<float> gain(64, 1.0f);
  const MatrixLengths lengths = lengths_of(weight);
  const HostRows linear = product(sum, weight, false, DType::float32);  // their norm is about 1
  NormLinear op{};
  op.epsilon = 1e-5f;
  const auto bounds = [&](DType dtype) {
    return norm_linear_bounds(op, {sum, gain, {}, lengths, linear, dtype});
  };
  // In float32 the slack is negligible; in bfloat16 at most that of one ulp in every number.
  for (const double slack : bounds(DType::float32).nmse_slack) EXPECT_LT(slack, 1e-10);
  for (const double slack : bounds(DType::bfloat16).nmse_slack) EXPECT_LT(slack, 0x1p-14);
  op.activation = Activation::silu;
  op.gated = true;
  EXPECT_EQ(bounds(DType::float16).elements.size(), 3U * 8);
  EXPECT_EQ(bounds(DType::float16).nmse_slack.size(), 3U);
}

TEST(AttentionBounds, GrowWithTheScoresAndTheValues) {
  Attention op{};
  op.num_heads = 4;
  op.num_kv_heads = 2;
  op.head_dim = 8;
  op.scale = 1.0f / std::sqrt(8.0f);
  const HostRows qkv = random_rows(3, 64, 6);
  const HostRows out = random_rows(3, 32, 7);
  std::vector<BoundedSequence> sequences(1);
  sequences[0] = {0, 3, random_rows(10, 16, 8), random_rows(10, 16, 9)};
  const auto largest = [&](DType dtype) {
    const ErrorBounds bounds = attention_bounds(op, {qkv, {}, {}, sequences, out, dtype});
    EXPECT_EQ(bounds.elements.size(), 3U * 32);
    EXPECT_EQ(bounds.nmse_slack.size(), 3U);
    return *std::max_element(bounds.elements.begin(), bounds.elements.end());
  };
  const float bound = largest(DType::float16);
  EXPECT_LT(largest(DType::float32), 0.01f * bound);
  EXPECT_GT(largest(DType::bfloat16), 4.0f * bound);
  for (float& value : sequences[0].values.values) value *= 3.0f;
  EXPECT_FLOAT_EQ(largest(DType::float16), 3.0f * bound);
  for (float& key : sequences[0].keys.values) key *= 1e5f;  // float32 sums of scores count
  EXPECT_GT(largest(DType::float16), 3.5f * bound);
}

TEST(AttentionBounds, KnowTheQueriesThatLieBetweenTwoRoundings) {
  Attention op{};
  op.num_heads = 1;
  op.num_kv_heads = 1;
  op.head_dim = 2;
  op.scale = 1.0f;
  const auto bound_of = [&](float first_of_query) {
    // One new token after a slot whose key is large where the query is.
    const HostRows qkv{{first_of_query, 1.0f, 1.0f, 1.0f, 1.0f, 1.0f}, 6};
    std::vector<BoundedSequence> sequences(1);
    sequences[0] = {0, 1, {{64.0f, 0.0f, 1.0f, 1.0f}, 2}, {{0.0f, 0.0f, 1.0f, 1.0f}, 2}};
    const HostRows out{{0.5f, 0.5f}, 2};
    return attention_bounds(op, {qkv, {}, {}, sequences, out, DType::float16}).elements[0];
  };
  const float apart = bound_of(1.0f);
  const float between = bound_of(1.0f + 0x1p-11f);  // half-way: both neighbours are correct
  // A step of 2^-10 moves the score by 2^-4, the softmax by up to tanh(2^-5).
  EXPECT_NEAR(between - apart, std::tanh(0x1p-5), 1e-3);
}

TEST(AttentionBounds, KnowTheKeysWhoseNumbersLieBetweenTwo) {
  Attention op{};
  op.num_heads = 1;
  op.num_kv_heads = 1;
  op.head_dim = 2;
  op.scale = 0.5f;
  const KvFormat int8 = kv_format(DType::uint8, DType::uint8);
  struct Bounds {
    ErrorBounds out, keys;
  };
  // One new token whose key has a scale of 1.
  const auto bounds_of = [&](float second_of_key) {
    const HostRows qkv{{0.0f, 0.25f, 127.0f, second_of_key, 1.0f, 1.0f}, 6};
    std::vector<BoundedSequence> sequences(1);
    sequences[0] = {0, 1, {{1.0f, 1.0f, 127.0f, 2.0f}, 2}, {{0.0f, 0.0f, 1.0f, 1.0f}, 2}};
    const HostRows out{{0.5f, 0.5f}, 2};
    const HostRows keys{{127.0f, 2.0f}, 2};
    return Bounds{attention_bounds(op, {qkv, {}, {}, sequences, out, DType::float32, int8}),
                  scaled_key_bounds(op, {qkv, {}, {}, sequences, keys, DType::float32, int8})};
  };
  const Bounds apart = bounds_of(2.25f);
  const Bounds between = bounds_of(2.5f);  // 2 and 3 are correct
  ASSERT_EQ(between.keys.elements.size(), 2u);
  EXPECT_LT(apart.keys.elements[1], 1e-4);
  EXPECT_LT(between.keys.elements[0], 1e-3);
  EXPECT_NEAR(between.keys.elements[1], 1.0, 1e-4);
  EXPECT_LT(apart.keys.nmse_slack[0], 1e-11);  // (16 ε)²: of the float32 sines
  EXPECT_NEAR(between.keys.nmse_slack[0], 1.0 / (127.0 * 127.0 + 4.0), 1e-7);
  // A step of 1 moves the score by 0.5 · 0.25, the softmax by up to tanh(2^-4).
  EXPECT_NEAR(between.out.elements[0] - apart.out.elements[0], std::tanh(0x1p-4), 1e-4);
  EXPECT_NEAR(between.out.nmse_slack[0], 2.0 * std::pow(std::tanh(0x1p-4), 2.0) / 0.5, 1e-4);
  EXPECT_LT(apart.out.nmse_slack[0], 1e-9);
}

TEST(AttentionBounds, HoldLooseElementsToTheRangeOfTheValuesAndCountThem) {
  Attention op{};
  op.num_heads = 2;
  op.num_kv_heads = 1;
  op.head_dim = 8;
  op.scale = 1.0f / std::sqrt(8.0f);
  HostRows qkv = random_rows(1, 32, 11);
  for (int i = 0; i < 8; ++i)
    qkv.values[static_cast<std::size_t>(i)] *= 1e7f;  // the first head's q
  std::vector<BoundedSequence> sequences(1);
  sequences[0] = {0, 1, random_rows(20, 8, 12), random_rows(20, 8, 13)};
  const HostRows& values = sequences[0].values;
  HostRows out{{}, 16};
  for (int i = 0; i < 16; ++i) out.values.push_back(values.row(7)[static_cast<std::size_t>(i % 8)]);
  const ErrorBounds bounds = attention_bounds(op, {qkv, {}, {}, sequences, out, DType::bfloat16});
  EXPECT_EQ(bounds.num_loose, 8);  // the first head's

  // Another slot's values are within the bounds of the first head, but not of the second.
  HostRows tested = out;
  std::copy_n(values.row(3).begin(), 8, tested.values.begin());
  EXPECT_LE(excess(tested, out, bounds, DType::bfloat16), 1.0);
  std::copy_n(values.row(3).begin(), 8, tested.values.begin() + 8);
  EXPECT_GT(excess(tested, out, bounds, DType::bfloat16), 1.0);
  // Elements that no average of the values can reach are over bound in either.
  tested = out;
  tested.values[2] = 10.0f;
  EXPECT_GT(excess(tested, out, bounds, DType::bfloat16), 1.0);
}

// What tensor cores cut from float8 products cancels where their signs are independent, and does
// not where they agree.
TEST(Float8Sums, WhatIsCutIsAllowedWhateverTheSigns) {
  for (const float mean : {0.0f, 0.5f, 2.0f, 20.0f}) {
    HostRows in = random_rows(3, 192, 1);
    HostRows weight = random_rows(64, 192, 2);
    for (float& x : in.values) x += mean;
    for (float& w : weight.values) w += mean;
    MatrixLengths lengths = lengths_of(weight);
    lengths.rounding = 0x1p-24;
    const HostRows reference = product(in, weight, false, DType::float32);
    const HostRows cut = cut_product(in, weight);
    const auto beyond = [&](bool sums_float8) {
      lengths.sums_float8 = sums_float8;
      const ErrorBounds bounds = linear_bounds(in, lengths, reference);
      return compare_rows({cut.values, reference.values, reference.cols, DType::float32,
                           bounds.elements, bounds.nmse_slack});
    };
    EXPECT_EQ(beyond(true).nmse_but_for_ties, 0.0) << mean;
    EXPECT_LE(beyond(true).excess, 1.0) << mean;
    EXPECT_GT(beyond(false).nmse_but_for_ties, 0.0) << mean;
    EXPECT_GT(beyond(true).nmse, 0.0);
  }
  // A scale that is off by a hundredth is none of it.
  const HostRows in = random_rows(3, 192, 1);
  const HostRows weight = random_rows(64, 192, 2);
  MatrixLengths lengths = lengths_of(weight);
  lengths.rounding = 0x1p-24;
  lengths.sums_float8 = true;
  const HostRows reference = product(in, weight, false, DType::float32);
  HostRows scaled = reference;
  for (float& sum : scaled.values) sum *= 1.01f;
  const ErrorBounds bounds = linear_bounds(in, lengths, reference);
  EXPECT_GT(compare_rows({scaled.values, reference.values, reference.cols, DType::float32,
                          bounds.elements, bounds.nmse_slack})
                .nmse_but_for_ties,
            1e-6);
}

}  // namespace
}  // namespace quern
