#include "weights/weight.h"

#include "base/check.h"
#include "base/half.h"

namespace quern {
namespace {

Tensor& component_of(Weight& weight, WeightComponent component) {
  switch (component) {
    case WeightComponent::values:
      return weight.values;
    case WeightComponent::scales:
      return weight.scales;
    case WeightComponent::zero_points:
      return weight.zero_points;
    case WeightComponent::input_permutation:
      return weight.input_permutation;
  }
  check_failed(__FILE__, __LINE__, "a component of a weight");
}

}  // namespace

Weight row_major_weight(const WeightFormat& format, const WeightShape& shape, std::byte* data,
                        Device device) {
  Weight weight;
  weight.format = format;
  weight.out_features = shape.out_features;
  weight.in_features = shape.in_features;
  for (const ComponentPlace& place : component_places(format, shape)) {
    component_of(weight, place.component) = {data + place.offset, place.rows,  place.cols,
                                             place.cols,          place.dtype, device};
  }
  return weight;
}

void dequantize_row(const Weight& weight, std::int64_t row, std::int64_t first_col,
                    std::span<float> out) {
  QUERN_CHECK(row >= 0 && row < weight.out_features, "row {} of {}", row, weight.out_features);
  QUERN_CHECK(first_col >= 0 && first_col + std::ssize(out) <= weight.in_features,
              "elements {} to {} of {}", first_col, first_col + std::ssize(out),
              weight.in_features);
  QUERN_CHECK(weight.layout == WeightLayout::row_major);
  const DType stored = weight.format.stored;
  const std::int64_t first = row * weight.values.row_stride + first_col;
  const std::byte* values =
      weight.values.data + first * static_cast<std::int64_t>(dtype_bytes(stored));
  switch (stored) {
    case DType::float32:
    case DType::float16:
    case DType::bfloat16:
      return load_floats(stored, values, out);
    case DType::int32:
    case DType::int64:
    case DType::uint8:
      break;
  }
  check_failed(__FILE__, __LINE__, "a weight's format has a definition",
               format_name(weight.format));
}

void dequantize_row(const Weight& weight, std::int64_t row, std::span<float> out) {
  QUERN_CHECK(std::ssize(out) == weight.in_features, "room for {} of {} elements", out.size(),
              weight.in_features);
  dequantize_row(weight, row, 0, out);
}

}  // namespace quern
