#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/memory/tensor.h"
#include "weights/format.h"

namespace quern {

/// A weight in place, [out_features, in_features]; a vector has out_features 1. Components that the
/// format does not have are empty.
struct Weight {
  Tensor values;
  Tensor scales;
  Tensor zero_points;
  Tensor input_permutation;
  WeightFormat format;
  WeightLayout layout = WeightLayout::row_major;
  std::int64_t out_features = 0;
  std::int64_t in_features = 0;

  WeightShape shape() const { return {out_features, in_features}; }
};

/// The weight whose components lie from `data` on, on `device`, as component_places() says.
Weight row_major_weight(const WeightFormat& format, const WeightShape& shape, std::byte* data,
                        Device device);

/// Elements [first_col, first_col + out.size()) of row `row` of a weight in host memory, as
/// float32. This function defines what a format means; kernels are held against it. Errors:
/// internal for elements that the weight does not have, and for a format or layout without a
/// definition.
void dequantize_row(const Weight& weight, std::int64_t row, std::int64_t first_col,
                    std::span<float> out);

/// The whole row: `out` has in_features elements.
void dequantize_row(const Weight& weight, std::int64_t row, std::span<float> out);

}  // namespace quern
