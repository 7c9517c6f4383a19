#include "weights/random.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numeric>
#include <vector>

#include "base/half.h"
#include "base/philox.h"

namespace quern {
namespace {

std::vector<float> filled(const RandomRun& run, DType dtype, std::int64_t size) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(size) * dtype_bytes(dtype));
  fill_random(run, dtype, bytes.data());
  std::vector<float> values(static_cast<std::size_t>(size));
  load_floats(dtype, bytes.data(), values);
  return values;
}

RandomRun run_of(std::int64_t count) {
  RandomRun run;
  run.key = random_key(7, "layers.3.qkv");
  run.count = count;
  return run;
}

TEST(Random, IsPhiloxByteForByte) {
  const std::uint64_t key = run_of(0).key;
  const auto values = filled(run_of(100), DType::float32, 100);
  for (std::uint32_t n = 0; n < 100; ++n) {
    const auto words = philox4x32({n / 16, 0, 0, 0}, {static_cast<std::uint32_t>(key),
                                                      static_cast<std::uint32_t>(key >> 32)});
    int byte = static_cast<int>(words[n % 16 / 4] >> (n % 4 * 8)) & 0xff;
    if (byte >= 128) byte -= 256;
    EXPECT_EQ(values[n], static_cast<float>(2 * byte + 1)) << n;
  }
}

TEST(Random, KeysAreFnv1a) {
  // Published values of the hash.
  EXPECT_EQ(random_key(0, ""), 0xcbf29ce484222325u);
  EXPECT_EQ(random_key(0, "a"), 0xaf63dc4c8601ec8cu);
  EXPECT_EQ(random_key(0, "foobar"), 0x85944171f73967e8u);
  EXPECT_NE(random_key(1, "foobar"), random_key(0, "foobar"));
}

TEST(Random, EveryDtypeHoldsTheSameNumbers) {
  for (const float scale : {0x1p-13f, 0x1p-16f, 1.0f}) {
    RandomRun run = run_of(5000);
    run.scale = scale;
    const auto expected = filled(run, DType::float32, 5000);
    EXPECT_EQ(filled(run, DType::float16, 5000), expected);
    EXPECT_EQ(filled(run, DType::bfloat16, 5000), expected);
  }
}

TEST(Random, APlaceDecidesWhateverElseIsFilled) {
  const auto whole = filled(run_of(10000), DType::float16, 10000);
  std::vector<std::byte> bytes(20000);
  for (std::int64_t begin = 0; begin < 10000; begin += 37) {
    fill_random(run_of(10000).part(begin, std::min<std::int64_t>(37, 10000 - begin)),
                DType::float16, bytes.data());
  }
  std::vector<float> values(10000);
  load_floats(DType::float16, bytes.data(), values);
  EXPECT_EQ(values, whole);
}

TEST(Random, StridesAndSources) {
  const auto whole = filled(run_of(600), DType::float32, 600);
  RandomRun run = run_of(9);
  run.first = 5;
  run.source = 11;
  run.stride = 50;
  run.scale = -2.0f;
  run.offset = 0.5f;
  const auto values = filled(run, DType::float32, 600);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const bool chosen = i % 50 == 5 && i < 9 * 50;
    EXPECT_EQ(values[i], chosen ? 0.5f - 2.0f * whole[i + 6] : 0.0f) << i;
  }
}

TEST(Random, NumbersAreUniformOddIntegers) {
  for (const int bits : {8, 4}) {
    RandomRun run = run_of(1 << 18);
    run.bits = bits;
    std::map<float, int> counts;
    for (const float value : filled(run, DType::float32, run.count)) ++counts[value];
    const int num_values = 1 << bits;
    ASSERT_EQ(counts.size(), static_cast<std::size_t>(num_values));
    const double expected = static_cast<double>(run.count) / num_values;
    for (const auto& [value, count] : counts) {
      EXPECT_EQ(std::abs(std::fmod(value, 2.0f)), 1.0f);
      EXPECT_LT(std::abs(value), static_cast<float>(num_values));
      EXPECT_NEAR(count, expected, 6.0 * std::sqrt(expected)) << value;
    }
  }
}

}  // namespace
}  // namespace quern
