#include "backend/cpu/integer/integer_kernels.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "backend/cpu/views.h"
#include "tests/backend/conformance/step_harness.h"
#include "tests/weights/quantized_weight.h"

namespace quern::cpu {
namespace {

using testing::random_floats;
using testing::RandomQuantizedWeight;

Tensor view(std::vector<float>& values, std::int64_t rows) {
  return float_view(values.data(), rows, std::ssize(values) / rows);
}

/// The rounded rows of an input, and their memory.
class Rounded {
 public:
  Rounded(std::vector<float> in, std::int64_t rows, const Weight& weight) : in_(std::move(in)) {
    Workspace counting;
    take_rounded_input(counting, rows, weight.in_features, weight.format);
    memory_.resize(counting.used_bytes());
    Workspace workspace(memory_);
    input_ = take_rounded_input(workspace, rows, weight.in_features, weight.format);
    ThreadPool pool(1);
    round_input(view(in_, rows), weight, input_, pool);
  }
  const RoundedInput& input() const { return input_; }

 private:
  std::vector<float> in_;
  std::vector<std::byte> memory_;
  RoundedInput input_;
};

/// scale · integer, in the order of the op's inputs.
std::vector<double> rounded_numbers(const RoundedInput& input, std::int64_t row,
                                    const Weight& weight) {
  std::vector<double> numbers(static_cast<std::size_t>(input.in_features));
  for (std::int64_t i = 0; i < input.in_features; ++i) {
    const std::int64_t in_block = i % kIntegerBlock;
    const std::int64_t at = weight.format.stored == DType::uint4
                                ? i - in_block + in_block / 2 + in_block % 2 * kIntegerBlock / 2
                                : i;
    const float scale =
        input.scales[row * input.num_scales() + (input.scale_per_block ? i / kIntegerBlock : 0)];
    const std::int64_t op_input =
        weight.format.permuted_inputs ? weight.input_permutation.row<std::int32_t>(0)[i] : i;
    numbers[static_cast<std::size_t>(op_input)] =
        static_cast<double>(scale) * input.integers[row * input.in_features + at];
  }
  return numbers;
}

struct KernelUnderTest {
  const char* name;
  IntegerDot dot;
};

void PrintTo(const KernelUnderTest& kernel, std::ostream* stream) { *stream << kernel.name; }

class IntegerKernelTest : public ::testing::TestWithParam<KernelUnderTest> {
 protected:
  void SetUp() override {
    if (GetParam().dot == nullptr) GTEST_SKIP() << "this machine has none";
  }

  static void check(const WeightFormat& format, std::int64_t rows, std::int64_t columns,
                    std::int64_t depth) {
    SCOPED_TRACE(::testing::Message() << format_name(format) << ", " << rows << " rows, " << columns
                                      << " columns of " << depth);
    ASSERT_TRUE(multiplies_integers(format, depth));
    constexpr std::int64_t kFirst = 2;
    const RandomQuantizedWeight weight(format, {columns + kFirst, depth}, 7);
    const Rounded rounded(random_floats(rows * depth, 3), rows, weight.weight());
    std::vector<float> out(static_cast<std::size_t>(rows * columns), std::nanf(""));
    GetParam().dot(rounded.input(), weight.weight(), kFirst, view(out, rows));
    const std::vector<float> numbers = weight.numbers();
    for (std::int64_t r = 0; r < rows; ++r) {
      const auto inputs = rounded_numbers(rounded.input(), r, weight.weight());
      for (std::int64_t c = 0; c < columns; ++c) {
        double sum = 0.0;
        double size = 0.0;
        for (std::int64_t k = 0; k < depth; ++k) {
          const double product =
              inputs[static_cast<std::size_t>(k)] *
              static_cast<double>(numbers[static_cast<std::size_t>((c + kFirst) * depth + k)]);
          sum += product;
          size += std::abs(product);
        }
        // Zero points are subtracted after the sum: its terms are up to twice as large.
        EXPECT_NEAR(out[static_cast<std::size_t>(r * columns + c)], sum, 2e-6 * size + 1e-6)
            << r << ", " << c;
      }
      // A row's bits do not depend on the rows beside it.
      std::vector<float> alone(static_cast<std::size_t>(columns));
      GetParam().dot(rounded.input().row_slice(r, 1), weight.weight(), kFirst, view(alone, 1));
      EXPECT_TRUE(std::equal(alone.begin(), alone.end(), out.begin() + r * columns));
    }
  }
};

TEST_P(IntegerKernelTest, ProductsAreThoseOfTheRoundedNumbers) {
  for (const std::int64_t group_size : {0, 32}) {
    for (WeightFormat format : testing::quantized_formats_to_test()) {
      format.activation = {ActivationRounding::int8, group_size};
      if (!multiplies_integers(format, 256)) continue;
      check(format, 1, 5, 256);
      check(format, 2, 4, 256);
      check(format, 7, 3, 384);
    }
  }
}

TEST_P(IntegerKernelTest, SumsOfTheLargestProductsAreExact) {
  constexpr std::int64_t kDepth = 1 << 16;
  const WeightFormat format = {.stored = DType::uint8,
                               .scale_dtype = DType::float32,
                               .has_zero_points = true,
                               .activation = {ActivationRounding::int8}};
  RandomQuantizedWeight weight(format, {1, kDepth}, 1);
  std::fill_n(weight.weight().values.row<std::uint8_t>(0), kDepth, std::uint8_t{255});
  weight.weight().scales.row<float>(0)[0] = 1.0f;
  weight.weight().zero_points.row<std::uint8_t>(0)[0] = 1;
  const Rounded rounded(std::vector<float>(kDepth, -127.0f), 1, weight.weight());
  std::vector<float> out(1);
  GetParam().dot(rounded.input(), weight.weight(), 0, view(out, 1));
  EXPECT_EQ(out[0], static_cast<float>(-127.0 * 254 * kDepth));
}

TEST_P(IntegerKernelTest, InputsThatAreNotFiniteGiveNan) {
  for (const std::int64_t group_size : {0, 32}) {
    const WeightFormat format = {.stored = DType::uint4,
                                 .scale_dtype = DType::float16,
                                 .group_size = 64,
                                 .activation = {ActivationRounding::int8, group_size}};
    const RandomQuantizedWeight weight(format, {3, 64}, 1);
    for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
      std::vector<float> in = random_floats(2 * 64, 2);
      in[64 + 40] = bad;
      const Rounded rounded(in, 2, weight.weight());
      std::vector<float> out(6);
      GetParam().dot(rounded.input(), weight.weight(), 0, view(out, 2));
      for (std::size_t i = 0; i < out.size(); ++i) EXPECT_EQ(std::isnan(out[i]), i >= 3) << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, IntegerKernelTest,
                         ::testing::Values(KernelUnderTest{"portable", portable_integer_dot()},
                                           KernelUnderTest{"avx2", avx2_integer_dot()},
                                           KernelUnderTest{"vnni", vnni_integer_dot()}),
                         [](const auto& kernel) { return std::string(kernel.param.name); });

TEST(RoundedInput, IntegersAreRoundedHalfToEvenWithinTheirRange) {
  std::vector<float> in = {127.0f, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -126.5f, 63.49f};
  std::vector<std::int8_t> out(in.size());
  EXPECT_EQ(round_to_int8(in, out.data()), 1.0f);
  EXPECT_EQ(out, (std::vector<std::int8_t>{127, 0, 2, 2, 0, -2, -126, 63}));
  in = {0.0f, -0.0f};
  EXPECT_EQ(round_to_int8(in, out.data()), 0.0f);
  EXPECT_EQ(out[0], 0);
  // The scale is subnormal, and rounds down.
  in = {std::numeric_limits<float>::denorm_min() * 190, -std::numeric_limits<float>::denorm_min()};
  EXPECT_EQ(round_to_int8(in, out.data()), std::numeric_limits<float>::denorm_min());
  EXPECT_EQ(out[0], 127);
}

TEST(RoundedInput, OthersAreRoundedAsFloats) {
  WeightFormat format = {.stored = DType::float8_e4m3,
                         .scale_dtype = DType::float32,
                         .activation = {ActivationRounding::float8_e4m3, 4}};
  const RandomQuantizedWeight weight(format, {1, 6}, 1);
  const Rounded float8({448.0f, 17.0f, 19.0f, -0.001f, 896.0f, 3.0f}, 1, weight.weight());
  ASSERT_EQ(float8.input().integers, nullptr);
  // 16 to 32 has steps of 2; below 2^-6 they are 2^-9.
  EXPECT_EQ(std::vector<float>(float8.input().floats, float8.input().floats + 6),
            (std::vector<float>{448.0f, 16.0f, 20.0f, -0x1p-9f * 1.0f, 896.0f, 3.0f}));

  format = {.stored = DType::uint8,
            .scale_dtype = DType::float32,
            .activation = {ActivationRounding::int8}};
  const RandomQuantizedWeight odd(format, {1, 3}, 1);
  EXPECT_FALSE(multiplies_integers(format, 3));
  const Rounded int8({254.0f, 1.0f, 3.1f}, 1, odd.weight());
  EXPECT_EQ(std::vector<float>(int8.input().floats, int8.input().floats + 3),
            (std::vector<float>{254.0f, 0.0f, 4.0f}));
}

}  // namespace
}  // namespace quern::cpu
