#pragma once

#include <optional>
#include <string_view>

#include "quern/dtype.h"

namespace quern {

/// The dtype with that name ("float32", "float16", "bfloat16"), or nothing.
constexpr std::optional<DType> parse_float_dtype(std::string_view name) {
  for (const DType dtype : {DType::float32, DType::float16, DType::bfloat16}) {
    if (name == dtype_name(dtype)) return dtype;
  }
  return std::nullopt;
}

}  // namespace quern
