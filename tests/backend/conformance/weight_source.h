#pragma once

#include <cstring>
#include <vector>

#include "base/half.h"
#include "weights/source.h"

namespace quern::testing {

/// A source of these numbers, [rows, cols], stored as `stored`.
inline WeightSource source_of(WeightUse use, DType stored, std::int64_t rows, std::int64_t cols,
                              const std::vector<float>& content) {
  std::vector<std::byte> bytes(content.size() * dtype_bytes(stored));
  store_floats(stored, content, bytes.data());
  const std::size_t row_bytes = static_cast<std::size_t>(cols) * dtype_bytes(stored);
  const auto read = [bytes = std::move(bytes), row_bytes](std::int64_t first_row,
                                                          std::int64_t num_rows, std::byte* out) {
    std::memcpy(out, bytes.data() + static_cast<std::size_t>(first_row) * row_bytes,
                static_cast<std::size_t>(num_rows) * row_bytes);
  };
  return {use, {.stored = stored}, {rows, cols}, {{WeightComponent::values, read}}};
}

}  // namespace quern::testing
