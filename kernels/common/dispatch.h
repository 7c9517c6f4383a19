#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <span>
#include <utility>

#include "quern/dtype.h"

namespace quern::kernels {

/// Throws DispatchError (errors.h): "<kernel>: <name>: expected <expected>, got <got>".
[[noreturn]] void throw_dispatch_error(const char* kernel, const char* name, const char* expected,
                                       const char* got);
/// The same for numbers.
[[noreturn]] void throw_dispatch_error(const char* kernel, const char* name,
                                       std::span<const int> expected, int got);

/// Calls body<T>() with the C++ type of a float16 or bfloat16. Errors: DispatchError.
template <typename Body>
void dispatch_half(DType dtype, const char* kernel, const Body& body) {
  if (dtype == DType::float16) return body.template operator()<__half>();
  if (dtype == DType::bfloat16) return body.template operator()<__nv_bfloat16>();
  throw_dispatch_error(kernel, "dtype", "float16 or bfloat16", dtype_name(dtype));
}

/// Calls body<T>() with the C++ type of a float dtype. Errors: DispatchError.
template <typename Body>
void dispatch_float(DType dtype, const char* kernel, const Body& body) {
  if (dtype == DType::float32) return body.template operator()<float>();
  if (dtype == DType::float16) return body.template operator()<__half>();
  if (dtype == DType::bfloat16) return body.template operator()<__nv_bfloat16>();
  throw_dispatch_error(kernel, "dtype", "float32, float16 or bfloat16", dtype_name(dtype));
}

/// Calls body<kValue>() with the one of `kValues` that equals `value`. Errors: DispatchError.
template <typename V, V... kValues, typename Body>
void dispatch_value(std::integer_sequence<V, kValues...>, V value, const char* kernel,
                    const char* name, const Body& body) {
  const bool found =
      ((value == kValues ? (body.template operator()<kValues>(), true) : false) || ...);
  if (found) return;
  constexpr int kLegal[] = {static_cast<int>(kValues)...};
  throw_dispatch_error(kernel, name, kLegal, static_cast<int>(value));
}

}  // namespace quern::kernels
