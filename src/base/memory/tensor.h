#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"
#include "base/memory/device.h"

namespace quern {

/// A view of `rows` rows of `cols` elements with row stride `row_stride` (in elements). It never
/// owns; see Buffer.
struct Tensor {
  std::byte* data = nullptr;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::int64_t row_stride = 0;
  DType dtype = DType::float32;
  Device device;

  bool empty() const { return data == nullptr; }

  /// The first element of a row; T must be the C++ type of `dtype`.
  template <typename T>
  T* row(std::int64_t index) const {
    return reinterpret_cast<T*>(data) + index * row_stride;
  }
};

}  // namespace quern
