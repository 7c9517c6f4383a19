#include "graph/kv_vector.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "base/float8.h"

namespace quern {
namespace {

struct Quantized {
  float scale = 0.0f;
  std::vector<std::byte> numbers;
  std::vector<float> back;
};

Quantized quantized(DType stored, const std::vector<float>& vector) {
  Quantized result;
  result.numbers.resize(vector.size());
  result.scale = quantize_kv_vector(stored, vector, result.numbers.data());
  result.back.resize(vector.size());
  dequantize_kv_vector(stored, result.numbers.data(), result.scale, result.back);
  return result;
}

std::vector<float> random_vector(std::size_t size, float magnitude, std::uint32_t seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal(0.0f, magnitude);
  std::vector<float> values(size);
  for (float& value : values) value = normal(engine);
  return values;
}

TEST(KvVector, IntegersAreStoredPlus128) {
  const Quantized q = quantized(DType::uint8, {0.0f, 127.0f, -127.0f, 1.5f, 2.5f, -2.5f, 0.49f});
  EXPECT_EQ(q.scale, 1.0f);
  std::vector<int> numbers;
  for (const std::byte number : q.numbers) numbers.push_back(std::to_integer<int>(number) - 128);
  EXPECT_EQ(numbers, (std::vector<int>{0, 127, -127, 2, 2, -2, 0})) << "ties go to even";
}

TEST(KvVector, Float8SpansItsRange) {
  const Quantized q = quantized(DType::float8_e4m3, {448.0f, -448.0f, 17.0f, 19.0f, 0.0f});
  EXPECT_EQ(q.scale, 1.0f);
  EXPECT_EQ(q.back, (std::vector<float>{448.0f, -448.0f, 16.0f, 20.0f, 0.0f}));
}

TEST(KvVector, ErrorsAreHalfAStepAtMost) {
  for (const float magnitude : {1e-20f, 1e-4f, 1.0f, 300.0f, 1e20f}) {
    for (const std::size_t size : {1u, 16u, 80u, 128u}) {
      const auto vector = random_vector(size, magnitude, static_cast<std::uint32_t>(size));
      double largest = 0.0;
      for (const float x : vector) largest = std::max(largest, double{std::fabs(x)});
      const Quantized integers = quantized(DType::uint8, vector);
      const Quantized floats = quantized(DType::float8_e4m3, vector);
      for (std::size_t i = 0; i < size; ++i) {
        EXPECT_NEAR(integers.back[i], vector[i], (0.5 + 1e-4) * largest / 127.0);
        // Half a unit of three bits, or of the subnormals'.
        const double unit = std::max(std::fabs(vector[i]) / 16.0, largest / 448.0 * 0x1p-10);
        EXPECT_NEAR(floats.back[i], vector[i], 1.0001 * unit);
      }
    }
  }
}

TEST(KvVector, TheLargestKeepsItsMagnitude) {
  for (std::uint32_t seed = 0; seed < 200; ++seed) {
    const auto vector = random_vector(64, 3.0f, seed);
    for (const DType stored : {DType::uint8, DType::float8_e4m3}) {
      const Quantized q = quantized(stored, vector);
      float largest = 0.0f, back = 0.0f;
      for (std::size_t i = 0; i < vector.size(); ++i) {
        largest = std::max(largest, std::fabs(vector[i]));
        back = std::max(back, std::fabs(q.back[i]));
      }
      EXPECT_NEAR(back, largest, 2e-7f * largest);
    }
  }
}

TEST(KvVector, ZerosAndTinyVectorsAreZero) {
  for (const DType stored : {DType::uint8, DType::float8_e4m3}) {
    for (const float x : {0.0f, -0.0f, 0x1p-101f, 0x1p-149f}) {
      const Quantized q = quantized(stored, {x, -x, 0.0f});
      EXPECT_EQ(q.scale, 0.0f);
      EXPECT_EQ(q.back, (std::vector<float>{0.0f, 0.0f, 0.0f}));
    }
    const Quantized smallest = quantized(stored, {kSmallestKvMagnitude, 0.0f});
    EXPECT_NEAR(smallest.back[0], kSmallestKvMagnitude, 1e-6f * kSmallestKvMagnitude);
    const Quantized largest = quantized(stored, {std::nextafter(0x1p127f, 0.0f), 1.0f});
    EXPECT_NEAR(largest.back[0], 0x1p127f, 0x1p105f);
    EXPECT_EQ(quantized(stored, {}).scale, 0.0f);
  }
}

TEST(KvVector, NonFiniteElementsMakeTheWholeVectorNaN) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const DType stored : {DType::uint8, DType::float8_e4m3}) {
    for (const float x : {infinity, -infinity, std::nanf(""), 0x1p127f}) {
      const Quantized q = quantized(stored, {1.0f, x, 2.0f});
      EXPECT_TRUE(std::isnan(q.scale));
      for (const float back : q.back) EXPECT_TRUE(std::isnan(back));
    }
  }
}

}  // namespace
}  // namespace quern
