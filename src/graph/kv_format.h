#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"

namespace quern {

/// How many scales the cached vectors have.
enum class KvScales : std::uint8_t {
  none,  ///< elements are stored as they are
};

/// How the KV cache stores keys and values; apart from the activation dtype, which Step carries.
struct KvFormat {
  DType keys = DType::float32;    ///< element type of the keys
  DType values = DType::float32;  ///< element type of the values
  KvScales scales = KvScales::none;

  bool operator==(const KvFormat&) const = default;
};

/// Keys and values in `dtype`, without scales.
constexpr KvFormat unscaled_kv_format(DType dtype) { return {dtype, dtype, KvScales::none}; }

/// Checks that attention can work on a cache of this format: today its elements are those of the
/// activation dtype, since k and v are stored as they are. Errors: unsupported naming the format,
/// the activation dtype and what is expected.
void check_kv_format(const KvFormat& format, DType activation_dtype);

/// Bytes of one KV block over all layers.
struct KvBlockBytes {
  std::size_t keys = 0;
  std::size_t values = 0;

  std::size_t total() const { return keys + values; }
};

/// The sizes of a model's KV cache.
struct KvGeometry {
  int num_layers = 0;
  int num_kv_heads = 0;
  int head_dim = 0;
};

/// What a block of `block_size` tokens takes; the one place that counts bytes of the KV cache.
/// Errors: internal when they overflow.
KvBlockBytes kv_block_bytes(const KvGeometry& geometry, const KvFormat& format, int block_size);

}  // namespace quern
