#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/memory/tensor.h"
#include "weights/format.h"

namespace quern {

/// A loaded weight, [out_features, in_features]; a vector has out_features 1. Components that the
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

/// A view of the weight at `data` on `device`, laid out as component_places() says.
Weight view_weight(const WeightFormat& format, const WeightShape& shape, WeightLayout layout,
                   std::byte* data, Device device);

/// The same of a row-major one.
Weight row_major_weight(const WeightFormat& format, const WeightShape& shape, std::byte* data,
                        Device device);

/// Dequantizes elements [first_col, first_col + out.size()) of row `row` of a weight in host memory
/// to float32. This function defines each format; kernels are tested against it. Errors: internal
/// for elements out of range, and for a format or layout without a definition.
void dequantize_row(const Weight& weight, std::int64_t row, std::int64_t first_col,
                    std::span<float> out);

/// The whole row: `out` has in_features elements.
void dequantize_row(const Weight& weight, std::int64_t row, std::span<float> out);

}  // namespace quern
