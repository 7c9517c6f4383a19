#include "weights/format.h"

#include <gtest/gtest.h>

#include <cstdint>

#include "tests/support/expect_error.h"
#include "weights/source.h"

namespace quern {
namespace {

WeightFormat scaled(std::int64_t group_size, std::int64_t group_rows = 1) {
  return {.stored = DType::uint8,
          .scale_dtype = DType::float16,
          .group_size = group_size,
          .group_rows = group_rows};
}

TEST(StorageBytes, FloatsTakeTheirElements) {
  EXPECT_EQ(storage_bytes({.stored = DType::float32}, {3, 5}), 60u);
  EXPECT_EQ(storage_bytes({.stored = DType::float16}, {3, 5}), 30u);
  EXPECT_EQ(storage_bytes({.stored = DType::bfloat16}, {1, 5}), 10u);
  EXPECT_EQ(storage_bytes({}, {0, 5}), 0u);
}

TEST(StorageBytes, ScalesAreCountedByBlocks) {
  const WeightShape shape = {16, 128};  // 2048 values
  EXPECT_EQ(storage_bytes(scaled(64), shape), 2048u + 16 * 2 * 2);
  EXPECT_EQ(storage_bytes(scaled(0), shape), 2048u + 16 * 2) << "one a row";
  EXPECT_EQ(storage_bytes(scaled(0, 0), shape), 2048u + 2) << "one for all";
  EXPECT_EQ(storage_bytes(scaled(100, 10), shape), 2048u + 2 * 2 * 2) << "partial edge blocks";
  WeightFormat format = scaled(64);
  format.has_zero_points = true;
  EXPECT_EQ(storage_bytes(format, shape), 2048u + 64 + 32);
  format.permuted_inputs = true;
  EXPECT_EQ(storage_bytes(format, shape), 2048u + 64 + 32 + 128 * 4);
  format.stored = DType::uint4;
  EXPECT_EQ(storage_bytes(format, shape), 1024u + 64 + 32 + 128 * 4) << "two to a byte";
  EXPECT_EQ(storage_bytes({.stored = DType::uint4, .scale_dtype = DType::float16}, {2, 5}), 20u)
      << "rows of whole bytes";
}

TEST(StorageBytes, ComponentsAreAlignedAndInOrder) {
  const auto places = component_places(scaled(4), {3, 10});
  ASSERT_EQ(places.size(), 2u);
  EXPECT_EQ(places[0].component, WeightComponent::values);
  EXPECT_EQ(places[0].size_bytes(), 30u);
  EXPECT_EQ(places[1].component, WeightComponent::scales);
  EXPECT_EQ(places[1].offset, 32u);
  EXPECT_EQ(places[1].row_bytes(), 6u);
}

TEST(StorageBytes, SizesThatOverflowAreRefused) {
  EXPECT_QUERN_ERROR(ErrorCode::internal, ({"a weight's component is 9223372036854775807 by 2"}),
                     storage_bytes({}, {INT64_MAX, 2}));
}

TEST(CheckFormat, FloatsAreLegal) {
  for (const DType dtype : {DType::float32, DType::float16, DType::bfloat16}) {
    check_format({.stored = dtype}, WeightUse::matrix);
    check_format({.stored = dtype}, WeightUse::embedding);
  }
  check_format({}, WeightUse::vector);
}

TEST(CheckFormat, IntegersAndFloat8WithScalesAreLegal) {
  for (const DType dtype : {DType::uint4, DType::uint8, DType::float8_e4m3}) {
    check_format({.stored = dtype, .scale_dtype = DType::float16, .group_size = 64},
                 WeightUse::matrix);
    EXPECT_QUERN_ERROR(ErrorCode::unsupported, ({dtype_name(dtype), "with scales"}),
                       check_format({.stored = dtype}, WeightUse::matrix));
  }
}

TEST(FormatName, SaysWhatOneScaleServes) {
  EXPECT_EQ(format_name({.stored = DType::float16}), "float16");
  EXPECT_EQ(format_name(scaled(64)), "uint8 (float16 scales of 64 inputs)");
  EXPECT_EQ(format_name(scaled(0)), "uint8 (float16 scales of a row)");
  EXPECT_EQ(format_name(scaled(0, 0)), "uint8 (float16 scales of the whole matrix)");
  EXPECT_EQ(format_name(scaled(128, 128)), "uint8 (float16 scales of 128 rows by 128 inputs)");
  EXPECT_EQ(format_name(scaled(0, 8)), "uint8 (float16 scales of 8 rows by all inputs)");
}

TEST(CheckFormat, TheRestIsRefusedByNameWithWhatIsExpected) {
  EXPECT_QUERN_ERROR(ErrorCode::unsupported,
                     ({"a weight of int32", "expected float32, float16, bfloat16"}),
                     check_format({.stored = DType::int32}, WeightUse::matrix));
  EXPECT_QUERN_ERROR(
      ErrorCode::unsupported,
      ({"float8_e4m3 (float16 scales of a row, zero points)", "expected float32"}),
      check_format(
          {.stored = DType::float8_e4m3, .scale_dtype = DType::float16, .has_zero_points = true},
          WeightUse::matrix));
  EXPECT_QUERN_ERROR(
      ErrorCode::unsupported, ({"uint8 (int32 scales of a row)"}),
      check_format({.stored = DType::uint8, .scale_dtype = DType::int32}, WeightUse::matrix));
  WeightFormat format = {.stored = DType::float16, .scale_dtype = DType::float32};
  format.has_zero_points = format.permuted_inputs = true;
  EXPECT_QUERN_ERROR(ErrorCode::unsupported, ({"zero points, permuted inputs"}),
                     check_format(format, WeightUse::embedding));
  EXPECT_QUERN_ERROR(ErrorCode::unsupported, ({"a vector of float16: expected float32"}),
                     check_format({.stored = DType::float16}, WeightUse::vector));
}

TEST(WeightSource, YieldsItsComponentsByName) {
  const WeightSource source = {
      .use = WeightUse::matrix,
      .format = {},
      .shape = {1, 1},
      .components = {{WeightComponent::values,
                      [](std::int64_t, std::int64_t, std::byte* out) { *out = std::byte{7}; }}}};
  std::byte read{};
  source.reader(WeightComponent::values)(0, 1, &read);
  EXPECT_EQ(read, std::byte{7});
  EXPECT_QUERN_ERROR(ErrorCode::internal, ({"component 1 of a float32 weight"}),
                     source.reader(WeightComponent::scales));
}

}  // namespace
}  // namespace quern
