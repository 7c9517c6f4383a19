#include "weights/convert.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "base/half.h"

namespace quern {
namespace {

/// Numbers of all sizes that each type can hold, some too large for float16, and special values.
std::vector<float> some_numbers(std::int64_t count) {
  std::mt19937 generator(3);
  std::vector<float> numbers(count);
  for (float& number : numbers) {
    number = std::ldexp(static_cast<float>(generator() % 2001) - 1000.0f,
                        static_cast<int>(generator() % 40) - 25);
  }
  if (count > 3) {
    numbers[1] = std::numeric_limits<float>::infinity();
    numbers[2] = std::numeric_limits<float>::quiet_NaN();
    numbers[3] = 1e30f;
  }
  return numbers;
}

std::vector<std::byte> store_each(const std::vector<float>& numbers, DType dtype) {
  std::vector<std::byte> bytes(numbers.size() * dtype_bytes(dtype));
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    store_floats(dtype, {&numbers[i], 1}, bytes.data() + i * dtype_bytes(dtype));
  }
  return bytes;
}

std::vector<float> load_each(const std::vector<std::byte>& bytes, DType dtype) {
  std::vector<float> numbers(bytes.size() / dtype_bytes(dtype));
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    load_floats(dtype, bytes.data() + i * dtype_bytes(dtype), {&numbers[i], 1});
  }
  return numbers;
}

class Convert : public ::testing::TestWithParam<std::tuple<DType, DType>> {
 protected:
  const DType from_ = std::get<0>(GetParam());
  const DType to_ = std::get<1>(GetParam());

  /// The expected conversion of one number, and the number of overflows.
  std::vector<float> expected(const std::vector<float>& numbers, std::int64_t& overflowed) const {
    overflowed = 0;
    std::vector<float> result;
    for (const float number : numbers) {
      const float stored = round_to(from_, number);
      result.push_back(round_to(to_, stored));
      overflowed += std::isfinite(stored) && std::isinf(result.back()) ? 1 : 0;
    }
    return result;
  }

  static void expect_same(const std::vector<float>& actual, const std::vector<float>& wanted) {
    ASSERT_EQ(actual.size(), wanted.size());
    for (std::size_t i = 0; i < actual.size(); ++i) {
      ASSERT_TRUE(actual[i] == wanted[i] || (std::isnan(actual[i]) && std::isnan(wanted[i])))
          << actual[i] << " instead of " << wanted[i] << " at " << i;
    }
  }
};

TEST_P(Convert, KeepsOrderAndCountsOverflow) {
  for (const std::int64_t count : {0, 1, 7, 4095, 4096, 4097, 10'000}) {
    const std::vector<float> numbers = some_numbers(count);
    const auto source = store_each(numbers, from_);
    std::vector<std::byte> destination(count * dtype_bytes(to_));
    std::int64_t overflowed = 0;
    const auto wanted = expected(numbers, overflowed);
    EXPECT_EQ(convert_floats({source.data(), from_}, {destination.data(), to_}, count), overflowed);
    expect_same(load_each(destination, to_), wanted);
  }
}

TEST_P(Convert, Transposes) {
  const std::pair<std::int64_t, std::int64_t> shapes[] = {{0, 5},  {5, 0},   {1, 1},    {1, 70},
                                                          {70, 1}, {64, 64}, {65, 130}, {3, 200}};
  for (const auto& [rows, cols] : shapes) {
    const std::vector<float> numbers = some_numbers(rows * cols);
    const auto source = store_each(numbers, from_);
    std::vector<std::byte> destination(rows * cols * dtype_bytes(to_));
    std::vector<float> transposed;
    for (std::int64_t col = 0; col < cols; ++col) {
      for (std::int64_t row = 0; row < rows; ++row) transposed.push_back(numbers[row * cols + col]);
    }
    std::int64_t overflowed = 0;
    const auto wanted = expected(transposed, overflowed);
    std::int64_t counted = 0;
    for (std::int64_t col = 0; col < cols; col += 66) {
      counted += convert_transposed({source.data(), from_},
                                    {destination.data() + col * rows * dtype_bytes(to_), to_},
                                    {rows, cols, col, std::min<std::int64_t>(66, cols - col)});
    }
    EXPECT_EQ(counted, overflowed);
    expect_same(load_each(destination, to_), wanted);
  }
}

TEST_P(Convert, TakesUnalignedSources) {
  const std::vector<float> numbers = some_numbers(100);
  const auto aligned = store_each(numbers, from_);
  std::vector<std::byte> source(aligned.size() + 1);
  std::memcpy(source.data() + 1, aligned.data(), aligned.size());
  std::vector<std::byte> destination(100 * dtype_bytes(to_));
  std::int64_t overflowed = 0;
  const auto wanted = expected(numbers, overflowed);
  convert_floats({source.data() + 1, from_}, {destination.data(), to_}, 100);
  expect_same(load_each(destination, to_), wanted);
}

constexpr DType kFloatTypes[] = {DType::float32, DType::float16, DType::bfloat16};
INSTANTIATE_TEST_SUITE_P(FloatTypes, Convert,
                         ::testing::Combine(::testing::ValuesIn(kFloatTypes),
                                            ::testing::ValuesIn(kFloatTypes)),
                         [](const auto& test) {
                           return std::string(dtype_name(std::get<0>(test.param))) + "_to_" +
                                  dtype_name(std::get<1>(test.param));
                         });

TEST(ConvertOverflow, LimitsAreThoseOfRounding) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const DType dtype : {DType::float16, DType::bfloat16}) {
    const float limit = dtype == DType::float16 ? 65520.0f : 0x1.ffp127f;
    const std::vector<float> numbers = {
        limit,    -limit,   std::nextafter(limit, 0.0f), std::numeric_limits<float>::max(),
        infinity, -infinity};
    std::vector<std::byte> destination(numbers.size() * 2);
    const FloatSource source{reinterpret_cast<const std::byte*>(numbers.data()), DType::float32};
    EXPECT_EQ(convert_floats(source, {destination.data(), dtype}, std::ssize(numbers)), 3);
    EXPECT_EQ(load_each(destination, dtype)[0], infinity);
    EXPECT_LT(load_each(destination, dtype)[2], infinity);
  }
}

}  // namespace
}  // namespace quern
