#include "base/dtype.h"

#include <gtest/gtest.h>

namespace quern {
namespace {

TEST(DType, FloatNamesAreReadBack) {
  EXPECT_EQ(parse_float_dtype("float32"), DType::float32);
  EXPECT_EQ(parse_float_dtype("float16"), DType::float16);
  EXPECT_EQ(parse_float_dtype("bfloat16"), DType::bfloat16);
}

TEST(DType, OtherNamesAreNone) {
  for (const char* name : {"", "int64", "Float32", "float64", "fp16"}) {
    EXPECT_EQ(parse_float_dtype(name), std::nullopt) << name;
  }
}

TEST(DType, BytesOfAnElement) {
  EXPECT_EQ(dtype_bytes(DType::float32), 4u);
  EXPECT_EQ(dtype_bytes(DType::float16), 2u);
  EXPECT_EQ(dtype_bytes(DType::bfloat16), 2u);
  EXPECT_EQ(dtype_bytes(DType::int32), 4u);
  EXPECT_EQ(dtype_bytes(DType::int64), 8u);
  EXPECT_EQ(dtype_bytes(DType::uint8), 1u);
  EXPECT_EQ(dtype_bytes(DType::float8_e4m3), 1u);
  EXPECT_EQ(dtype_bytes(DType::uint4), 1u) << "two share it";
}

}  // namespace
}  // namespace quern
