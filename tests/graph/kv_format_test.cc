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
  const KvFormat mixed = {.keys = DType::bfloat16, .values = DType::uint8};
  EXPECT_EQ(kv_block_bytes(kGeometry, mixed, 32).keys, 768u * 2);
  EXPECT_EQ(kv_block_bytes(kGeometry, mixed, 32).values, 768u);
  EXPECT_EQ(kv_block_bytes({}, mixed, 32).total(), 0u);
}

TEST(KvFormat, SizesThatOverflowAreRefused) {
  EXPECT_QUERN_ERROR(ErrorCode::internal, ({"KV block of 2147483647 tokens"}),
                     kv_block_bytes({INT_MAX, INT_MAX, INT_MAX}, {}, INT_MAX));
}

TEST(KvFormat, ElementsMustBeOfTheActivationDtype) {
  for (const DType dtype : {DType::float32, DType::float16, DType::bfloat16}) {
    check_kv_format(unscaled_kv_format(dtype), dtype);
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

}  // namespace
}  // namespace quern
