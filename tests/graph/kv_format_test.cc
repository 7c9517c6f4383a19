#include "graph/kv_format.h"

#include <gtest/gtest.h>

#include <climits>

#include "tests/support/expect_error.h"

namespace quern {
namespace {

constexpr KvGeometry kGeometry = {.num_layers = 2, .num_kv_heads = 3, .head_dim = 4};

TEST(KvFormat, BlocksCountKeysAndValuesApart) {
  // 2 layers x 3 heads x 32 slots x 4 elements.
  const KvBlockBytes half = kv_block_bytes(kGeometry, unscaled_kv_format(DType::float16), 32);
  EXPECT_EQ(half.keys, 768u * 2);
  EXPECT_EQ(half.values, 768u * 2);
  EXPECT_EQ(half.total(), 768u * 4);
  EXPECT_EQ(half.scales(), 0u);
  const KvFormat mixed = kv_format(DType::bfloat16, DType::uint8);
  EXPECT_EQ(kv_block_bytes(kGeometry, mixed, 32).keys, 768u * 2);
  EXPECT_EQ(kv_block_bytes(kGeometry, mixed, 32).values, 768u);
  EXPECT_EQ(kv_block_bytes(kGeometry, mixed, 32).key_scales, 0u);
  EXPECT_EQ(kv_block_bytes(kGeometry, mixed, 32).value_scales, 768u / 4 * 4) << "a float a vector";
  const KvFormat both = kv_format(DType::float8_e4m3, DType::float8_e4m3);
  EXPECT_EQ(kv_block_bytes(kGeometry, both, 32).total(), 2u * (768 + 768));
  EXPECT_EQ(kv_block_bytes({}, mixed, 32).total(), 0u);
}

TEST(KvFormat, SizesThatOverflowAreRefused) {
  EXPECT_QUERN_ERROR(ErrorCode::internal, ({"KV block of 2147483647 tokens"}),
                     kv_block_bytes({INT_MAX, INT_MAX, INT_MAX}, {}, INT_MAX));
}

TEST(KvFormat, ElementsAreOfTheActivationDtypeOrScaled) {
  for (const DType dtype : {DType::float32, DType::float16, DType::bfloat16}) {
    check_kv_format(unscaled_kv_format(dtype), dtype);
    check_kv_format(kv_format(DType::uint8, DType::uint8), dtype);
    check_kv_format(kv_format(DType::float8_e4m3, DType::float8_e4m3), dtype);
    check_kv_format(kv_format(dtype, DType::uint8), dtype);
  }
  EXPECT_QUERN_ERROR(
      ErrorCode::unsupported, ({"uint8 keys", "float16 values", "expected float16"}),
      check_kv_format({.keys = DType::uint8, .values = DType::float16}, DType::float16));
  EXPECT_QUERN_ERROR(
      ErrorCode::unsupported, ({"float16 keys", "float32 values", "expected float16"}),
      check_kv_format({.keys = DType::float16, .values = DType::float32}, DType::float16));
  EXPECT_QUERN_ERROR(ErrorCode::unsupported, ({"expected bfloat16"}),
                     check_kv_format(unscaled_kv_format(DType::float16), DType::bfloat16));
}

TEST(KvFormat, UnknownCombinationsAreRefused) {
  const KvFormat unscaled = {DType::uint8, DType::uint8, KvScales::none};
  EXPECT_QUERN_ERROR(ErrorCode::unsupported, ({"uint8 keys", "without scales"}),
                     check_kv_format(unscaled, DType::float16));
  EXPECT_QUERN_ERROR(ErrorCode::unsupported, ({"uint8 keys and float16 values with scales"}),
                     check_kv_format(kv_format(DType::uint8, DType::float16), DType::float16));
  EXPECT_QUERN_ERROR(ErrorCode::unsupported, ({"float8_e4m3 values"}),
                     check_kv_format(kv_format(DType::uint8, DType::float8_e4m3), DType::float16));
}

TEST(KvFormat, Descriptions) {
  EXPECT_EQ(describe(unscaled_kv_format(DType::float16)), "float16");
  EXPECT_EQ(describe(kv_format(DType::uint8, DType::uint8)),
            "uint8 with a float32 scale for each head and token");
  EXPECT_EQ(describe(kv_format(DType::float16, DType::uint8)),
            "keys float16, values uint8 with a float32 scale for each head and token");
}

}  // namespace
}  // namespace quern
