#pragma once

#include "kernels/common/dispatch.h"

namespace quern::kernels {

/// Calls body<kStored>() with the element type of a quantized weight. Errors: DispatchError.
template <typename Body>
void dispatch_stored(DType stored, const char* kernel, const Body& body) {
  if (stored == DType::uint4) return body.template operator()<DType::uint4>();
  if (stored == DType::uint8) return body.template operator()<DType::uint8>();
  if (stored == DType::float8_e4m3) return body.template operator()<DType::float8_e4m3>();
  throw_dispatch_error(kernel, "weight", "uint4, uint8 or float8_e4m3", dtype_name(stored));
}

}  // namespace quern::kernels
