#include "weights/weight.h"

#include "base/check.h"
#include "base/half.h"

namespace quern {

void dequantize_row(const Weight& weight, std::int64_t row, std::span<float> out) {
  QUERN_CHECK(row >= 0 && row < weight.out_features, "row {} of {}", row, weight.out_features);
  QUERN_CHECK(std::ssize(out) == weight.in_features, "room for {} of {} elements", out.size(),
              weight.in_features);
  const std::int64_t stride_bytes =
      weight.values.row_stride * static_cast<std::int64_t>(dtype_bytes(weight.format.stored));
  load_floats(weight.format.stored, weight.values.data + row * stride_bytes, out);
}

}  // namespace quern
