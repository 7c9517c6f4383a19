#include "graph/kv_format.h"

#include "base/check.h"
#include "base/error.h"
#include "base/memory/shape.h"

namespace quern {
namespace {

std::size_t vector_bytes(const KvGeometry& geometry, DType dtype, int block_size) {
  const std::int64_t sizes[] = {geometry.num_layers, geometry.num_kv_heads, block_size,
                                geometry.head_dim, static_cast<std::int64_t>(dtype_bytes(dtype))};
  const auto bytes = checked_numel(sizes);
  QUERN_CHECK(bytes, "a KV block of {} tokens", block_size);
  return static_cast<std::size_t>(*bytes);
}

}  // namespace

void check_kv_format(const KvFormat& format, DType activation_dtype) {
  if (format == unscaled_kv_format(activation_dtype)) return;
  fail(ErrorCode::unsupported,
       "KV cache of {} keys and {} values: expected {}, the activation dtype, for both",
       dtype_name(format.keys), dtype_name(format.values), dtype_name(activation_dtype));
}

KvBlockBytes kv_block_bytes(const KvGeometry& geometry, const KvFormat& format, int block_size) {
  return {vector_bytes(geometry, format.keys, block_size),
          vector_bytes(geometry, format.values, block_size)};
}

}  // namespace quern
