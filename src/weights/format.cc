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

}  // namespace

std::string format_name(const WeightFormat& format) {
  std::string name = dtype_name(format.stored);
  if (format.scale_dtype) {
    name += fmt::format(" ({} scales of {} inputs and {} rows{}{})",
                        dtype_name(*format.scale_dtype), format.group_size, format.group_rows,
                        format.has_zero_points ? ", zero points" : "",
                        format.permuted_inputs ? ", permuted inputs" : "");
  }
  return name;
}

void check_format(const WeightFormat& format, WeightUse use) {
  if (use == WeightUse::vector) {
    if (format == WeightFormat{}) return;
    fail(ErrorCode::unsupported, "a vector of {}: expected float32", format_name(format));
  }
  std::string expected;
  for (const StoredType& type : kStoredTypes) {
    const bool fits = type.has_scales ? format.scale_dtype.has_value()
                                      : format == WeightFormat{.stored = type.dtype};
    if (format.stored == type.dtype && fits) return;
    expected += expected.empty() ? "" : ", ";
    expected += fmt::format("{}{}", dtype_name(type.dtype), type.has_scales ? " with scales" : "");
  }
  fail(ErrorCode::unsupported, "a weight of {}: expected {}", format_name(format), expected);
}

std::vector<ComponentPlace> component_places(const WeightFormat& format, const WeightShape& shape,
                                             WeightLayout layout) {
  QUERN_CHECK(layout == WeightLayout::row_major);
  const std::int64_t blocks = num_blocks(shape.out_features, format.group_rows);
  const std::int64_t groups = num_blocks(shape.in_features, format.group_size);
  std::vector<ComponentPlace> places;
  append(places,
         {WeightComponent::values, format.stored, shape.out_features, shape.in_features, 0});
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
