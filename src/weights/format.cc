#include "weights/format.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/error.h"
#include "base/memory/shape.h"

namespace quern {
namespace {

constexpr std::size_t kComponentAlignment = 16;

/// Number of blocks of `block` that cover `count`; 0 stands for one block over all of it.
std::int64_t num_blocks(std::int64_t count, std::int64_t block) {
  return block == 0 ? 1 : ceil_div(count, block);
}

/// What one scale serves: "64 inputs", "a row", "128 rows by 128 inputs", "the whole matrix".
std::string block_name(const WeightFormat& format) {
  if (format.group_rows == 1) {
    return format.group_size == 0 ? "a row" : fmt::format("{} inputs", format.group_size);
  }
  if (format.group_rows == 0 && format.group_size == 0) return "the whole matrix";
  const auto counted = [](std::int64_t count, const char* what) {
    return count == 0 ? fmt::format("all {}", what) : fmt::format("{} {}", count, what);
  };
  return fmt::format("{} by {}", counted(format.group_rows, "rows"),
                     counted(format.group_size, "inputs"));
}

/// Whether a format with scales has a definition in dequantize_row().
bool is_scaled_format(const WeightFormat& format) {
  const auto is_float = [](DType dtype) {
    return dtype == DType::float32 || dtype == DType::float16 || dtype == DType::bfloat16;
  };
  return format.scale_dtype && is_float(*format.scale_dtype) && format.group_size >= 0 &&
         format.group_rows >= 0 && !(format.stored == DType::float8_e4m3 && format.has_zero_points);
}

std::int64_t inputs_of_tile(DType stored) { return stored == DType::uint4 ? 128 : 64; }

void append(std::vector<ComponentPlace>& places, ComponentPlace place) {
  const std::int64_t sizes[] = {place.rows, place.cols,
                                static_cast<std::int64_t>(dtype_bytes(place.dtype))};
  QUERN_CHECK(checked_numel(sizes), "a weight's component is {} by {}", place.rows, place.cols);
  if (!places.empty()) {
    const ComponentPlace& last = places.back();
    place.offset = align_up(last.offset + last.size_bytes(), kComponentAlignment);
  }
  places.push_back(place);
}

std::vector<ComponentPlace> tiled_places(const WeightFormat& format, const WeightShape& shape) {
  const TileGeometry tiles = TileGeometry::of(format, shape);
  std::vector<ComponentPlace> places;
  const std::int64_t group_values = tiles.num_groups * TileGeometry::kTileRows;
  append(places, {WeightComponent::values, DType::uint8, tiles.num_tile_rows,
                  tiles.num_tiles * TileGeometry::kTileBytes, 0});
  append(places,
         {WeightComponent::scales, tiles.scale_dtype, tiles.num_tile_rows, group_values, 0});
  if (format.has_zero_points) {
    append(places,
           {WeightComponent::zero_points, DType::uint8, tiles.num_tile_rows, group_values, 0});
  }
  if (format.permuted_inputs) {
    append(places, {WeightComponent::input_permutation, DType::int32, 1, shape.in_features, 0});
  }
  return places;
}

}  // namespace

std::string format_name(const WeightFormat& format) {
  std::string name = dtype_name(format.stored);
  if (!format.scale_dtype) return name;
  name += fmt::format(" ({} scales of {}{}{})", dtype_name(*format.scale_dtype), block_name(format),
                      format.has_zero_points ? ", zero points" : "",
                      format.permuted_inputs ? ", permuted inputs" : "");
  const ActivationFormat& activation = format.activation;
  if (activation.rounding == ActivationRounding::none) return name;
  const char* rounding = activation.rounding == ActivationRounding::int8 ? "int8" : "float8_e4m3";
  if (activation.group_size == 0) return name + fmt::format(", inputs {} of a row", rounding);
  return name + fmt::format(", inputs {} of {}", rounding, activation.group_size);
}

void check_format(const WeightFormat& format, WeightUse use) {
  if (use == WeightUse::vector) {
    if (format == WeightFormat{}) return;
    fail(ErrorCode::unsupported, "a vector of {}: expected float32", format_name(format));
  }
  std::string expected;
  for (const StoredType& type : kStoredTypes) {
    const bool fits =
        type.has_scales ? is_scaled_format(format) : format == WeightFormat{.stored = type.dtype};
    if (format.stored == type.dtype && fits) return;
    expected += expected.empty() ? "" : ", ";
    expected += fmt::format("{}{}", dtype_name(type.dtype), type.has_scales ? " with scales" : "");
  }
  fail(ErrorCode::unsupported, "a weight of {}: expected {}", format_name(format), expected);
}

TileGeometry TileGeometry::of(const WeightFormat& format, const WeightShape& shape) {
  QUERN_CHECK(fits_tiles(format), "{} in tiles", format_name(format));
  TileGeometry tiles;
  tiles.tile_inputs = inputs_of_tile(format.stored);
  tiles.num_tile_rows = 2 * ceil_div(shape.out_features, 2 * kTileRows);
  tiles.num_tiles = ceil_div(shape.in_features, tiles.tile_inputs);
  const std::int64_t padded_inputs = tiles.num_tiles * tiles.tile_inputs;
  tiles.group_size = format.group_size == 0 ? padded_inputs : format.group_size;
  tiles.num_groups = ceil_div(padded_inputs, tiles.group_size);
  if (format.scale_dtype != DType::float16) tiles.scale_dtype = DType::float32;
  return tiles;
}

bool multiplies_integers(const WeightFormat& format, std::int64_t in_features) {
  const ActivationFormat& activation = format.activation;
  const bool is_integer = format.stored == DType::uint4 || format.stored == DType::uint8;
  const bool has_order = activation.group_size == 0 || !format.permuted_inputs;
  // A lane's sum of products, at most 255 · 127 each, fits into 32 bits.
  constexpr std::int64_t kMaxInputs = 1 << 19;
  return activation.rounding == ActivationRounding::int8 && is_integer && has_order &&
         (activation.group_size == 0 || activation.group_size == kIntegerBlock) &&
         in_features % kIntegerBlock == 0 && format.group_size % kIntegerBlock == 0 &&
         in_features <= kMaxInputs;
}

bool fits_tiles(const WeightFormat& format) {
  constexpr std::int64_t kSmallestGroup = 32;
  if (!format.is_quantized()) return false;
  const std::int64_t inputs = inputs_of_tile(format.stored);
  const std::int64_t group = format.group_size;
  return group % inputs == 0 || (group >= kSmallestGroup && inputs % group == 0);
}

std::vector<ComponentPlace> component_places(const WeightFormat& format, const WeightShape& shape,
                                             WeightLayout layout) {
  if (layout == WeightLayout::tiles) return tiled_places(format, shape);
  const std::int64_t blocks = num_blocks(shape.out_features, format.group_rows);
  const std::int64_t groups = num_blocks(shape.in_features, format.group_size);
  std::vector<ComponentPlace> places;
  const bool is_packed = format.stored == DType::uint4;
  append(places,
         {WeightComponent::values, is_packed ? DType::uint8 : format.stored, shape.out_features,
          is_packed ? ceil_div(shape.in_features, std::int64_t{2}) : shape.in_features, 0});
  if (format.scale_dtype) {
    append(places, {WeightComponent::scales, *format.scale_dtype, blocks, groups, 0});
  }
  if (format.has_zero_points) {
    append(places, {WeightComponent::zero_points, DType::uint8, blocks, groups, 0});
  }
  if (format.permuted_inputs) {
    append(places, {WeightComponent::input_permutation, DType::int32, 1, shape.in_features, 0});
  }
  return places;
}

std::size_t storage_bytes(const WeightFormat& format, const WeightShape& shape,
                          WeightLayout layout) {
  const ComponentPlace last = component_places(format, shape, layout).back();
  return last.offset + last.size_bytes();
}

}  // namespace quern
