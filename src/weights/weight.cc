#include "weights/weight.h"

#include "base/check.h"
#include "base/half.h"

namespace quern {

std::size_t WeightSource::row_bytes() const {
  return static_cast<std::size_t>(in_features) * dtype_bytes(stored);
}

Weight dense_weight(const WeightSource& source, std::byte* destination, Device device) {
  return {
      .values = {.data = destination,
                 .rows = source.out_features,
                 .cols = source.in_features,
                 .row_stride = source.in_features,
                 .dtype = source.stored,
                 .device = device},
      .format = {.stored = source.stored},
      .out_features = source.out_features,
      .in_features = source.in_features,
  };
}

void dequantize_row(const Weight& weight, std::int64_t row, std::span<float> out) {
  QUERN_CHECK(row >= 0 && row < weight.out_features, "row {} of {}", row, weight.out_features);
  QUERN_CHECK(std::ssize(out) == weight.in_features, "room for {} of {} elements", out.size(),
              weight.in_features);
  const std::int64_t stride_bytes =
      weight.values.row_stride * static_cast<std::int64_t>(dtype_bytes(weight.format.stored));
  load_floats(weight.format.stored, weight.values.data + row * stride_bytes, out);
}

}  // namespace quern
