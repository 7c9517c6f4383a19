#include "graph/kv_format.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/check.h"
#include "base/error.h"
#include "base/memory/shape.h"

namespace quern {
namespace {

std::size_t array_bytes(const KvGeometry& geometry, int block_size, std::int64_t vector_bytes) {
  const std::int64_t sizes[] = {geometry.num_layers, geometry.num_kv_heads, block_size,
                                vector_bytes};
  const auto bytes = checked_numel(sizes);
  QUERN_CHECK(bytes, "a KV block of {} tokens", block_size);
  return static_cast<std::size_t>(*bytes);
}

}  // namespace

void check_kv_format(const KvFormat& format, DType activation_dtype) {
  const KvFormat supported[] = {
      unscaled_kv_format(activation_dtype), kv_format(DType::uint8, DType::uint8),
      kv_format(DType::float8_e4m3, DType::float8_e4m3), kv_format(activation_dtype, DType::uint8)};
  if (std::count(std::begin(supported), std::end(supported), format) > 0) return;
  fail(ErrorCode::unsupported,
       "KV cache of {} keys and {} values{}: expected {}, the activation dtype, for both, or with "
       "scales uint8 or float8_e4m3 for both, or {} keys and uint8 values",
       dtype_name(format.keys), dtype_name(format.values),
       format.scales == KvScales::none ? " without scales" : " with scales",
       dtype_name(activation_dtype), dtype_name(activation_dtype));
}

std::string describe(const KvFormat& format) {
  const auto describe_one = [](DType dtype) {
    return fmt::format("{}{}", dtype_name(dtype),
                       is_scaled(dtype) ? " with a float32 scale for each head and token" : "");
  };
  if (format.keys == format.values) return describe_one(format.keys);
  return fmt::format("keys {}, values {}", describe_one(format.keys), describe_one(format.values));
}

KvBlockBytes kv_block_bytes(const KvGeometry& geometry, const KvFormat& format, int block_size) {
  const auto numbers = [&](DType dtype) {
    const std::int64_t sizes[] = {geometry.head_dim, static_cast<std::int64_t>(dtype_bytes(dtype))};
    const auto bytes = checked_numel(sizes);
    QUERN_CHECK(bytes, "head_dim {}", geometry.head_dim);
    return array_bytes(geometry, block_size, *bytes);
  };
  const auto scales = [&](DType dtype) -> std::size_t {
    const bool scaled = format.scales == KvScales::per_vector && is_scaled(dtype);
    return scaled ? array_bytes(geometry, block_size, sizeof(float)) : 0;
  };
  return {numbers(format.keys), numbers(format.values), scales(format.keys), scales(format.values)};
}

}  // namespace quern
