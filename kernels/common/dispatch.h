#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <stdexcept>
#include <string>
#include <utility>

#include "quern/dtype.h"

namespace quern::kernels {

/// Thrown for values that a kernel is not instantiated for: a bug of the caller. The message names
/// the legal values.
class DispatchError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

/// Calls body<T>() with the C++ type of a float16 or bfloat16. Errors: DispatchError.
template <typename Body>
void dispatch_half(DType dtype, const char* kernel, const Body& body) {
  if (dtype == DType::float16) return body.template operator()<__half>();
  if (dtype == DType::bfloat16) return body.template operator()<__nv_bfloat16>();
  throw DispatchError(std::string(kernel) + ": dtype: expected float16 or bfloat16, got " +
                      dtype_name(dtype));
}

/// Calls body<T>() with the C++ type of a float dtype. Errors: DispatchError.
template <typename Body>
void dispatch_float(DType dtype, const char* kernel, const Body& body) {
  if (dtype == DType::float32) return body.template operator()<float>();
  if (dtype == DType::float16) return body.template operator()<__half>();
  if (dtype == DType::bfloat16) return body.template operator()<__nv_bfloat16>();
  throw DispatchError(std::string(kernel) + ": dtype: expected float32, float16 or bfloat16, got " +
                      dtype_name(dtype));
}

/// Calls body<kValue>() with the one of `kValues` that equals `value`. Errors: DispatchError.
template <typename V, V... kValues, typename Body>
void dispatch_value(std::integer_sequence<V, kValues...>, V value, const char* kernel,
                    const char* name, const Body& body) {
  const bool found =
      ((value == kValues ? (body.template operator()<kValues>(), true) : false) || ...);
  if (found) return;
  std::string legal;
  ((legal += (legal.empty() ? "" : ", ") + std::to_string(kValues)), ...);
  throw DispatchError(std::string(kernel) + ": " + name + ": expected one of " + legal + ", got " +
                      std::to_string(value));
}

}  // namespace quern::kernels
