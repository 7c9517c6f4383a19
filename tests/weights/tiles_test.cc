#include "weights/quant/tiles.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/weights/quantized_weight.h"

namespace quern {
namespace {

/// Puts a source in tiles into memory.
std::vector<std::byte> read_tiled(const WeightSource& tiled) {
  std::vector<std::byte> bytes(storage_bytes(tiled.format, tiled.shape, WeightLayout::tiles));
  for (const ComponentPlace& place :
       component_places(tiled.format, tiled.shape, WeightLayout::tiles)) {
    const std::int64_t half = place.rows / 2;
    const RowReader& read = tiled.reader(place.component);
    read(0, half, bytes.data() + place.offset);
    read(half, place.rows - half,
         bytes.data() + place.offset + static_cast<std::size_t>(half) * place.row_bytes());
  }
  return bytes;
}

TEST(Tiles, HoldTheNumbersOfTheRowMajorWeight) {
  int num_tiled = 0;
  for (const WeightFormat& format : testing::quantized_formats_to_test()) {
    if (!fits_tiles(format)) continue;
    ++num_tiled;
    for (const WeightShape shape : {WeightShape{41, 200}, {96, 384}, {7, 37}}) {
      const testing::RandomQuantizedWeight weight(format, shape, 7);
      const WeightSource source = weight.source();
      TilingReader reader(source);
      std::vector<std::byte> bytes = read_tiled(reader.tiled());
      const Weight tiled = view_weight(format, shape, WeightLayout::tiles, bytes.data(), Device{});
      std::vector<float> numbers = weight.numbers();
      std::vector<float> row(static_cast<std::size_t>(shape.in_features));
      for (std::int64_t i = 0; i < shape.out_features; ++i) {
        dequantize_row(tiled, i, row);
        ASSERT_TRUE(std::equal(row.begin(), row.end(), numbers.begin() + i * shape.in_features))
            << format_name(format) << ", row " << i;
      }
    }
  }
  EXPECT_GT(num_tiled, 15);
}

TEST(Tiles, AGroupWithANanHasANanForItsScale) {
  const WeightFormat format = {
      .stored = DType::float8_e4m3, .scale_dtype = DType::float16, .group_size = 64};
  testing::RandomQuantizedWeight weight(format, {9, 200}, 7);
  weight.weight().values.row<std::uint8_t>(8)[70] = 0x7f;
  const WeightSource source = weight.source();
  TilingReader reader(source);
  std::vector<std::byte> bytes = read_tiled(reader.tiled());
  const Weight tiled = view_weight(format, {9, 200}, WeightLayout::tiles, bytes.data(), Device{});
  std::vector<float> row(200);
  for (std::int64_t i = 0; i < 9; ++i) {
    dequantize_row(tiled, i, row);
    for (std::size_t at = 0; at < row.size(); ++at) {
      EXPECT_EQ(std::isnan(row[at]), i == 8 && at / 64 == 1) << i << ", " << at;
    }
  }
}

TEST(Tiles, TakeGroupsOfWholeTilesAndWholePartsOfThem) {
  const auto fits = [](DType stored, std::int64_t group_size) {
    return fits_tiles({.stored = stored, .scale_dtype = DType::float16, .group_size = group_size});
  };
  for (const std::int64_t group : {0, 32, 64, 128, 256}) {
    EXPECT_TRUE(fits(DType::uint4, group)) << group;
    EXPECT_TRUE(fits(DType::uint8, group)) << group;
  }
  for (const std::int64_t group : {1, 16, 24, 96}) EXPECT_FALSE(fits(DType::uint4, group)) << group;
  EXPECT_TRUE(fits(DType::uint8, 192));
  EXPECT_FALSE(fits(DType::uint4, 192));
  EXPECT_FALSE(fits_tiles({.stored = DType::float16}));
}

}  // namespace
}  // namespace quern
