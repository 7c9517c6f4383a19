#pragma once

#include <cstddef>
#include <cstdint>

#include "base/dtype.h"

namespace quern {

/// Granularity of the scales of cached vectors.
enum class KvScales : std::uint8_t {
  none,  ///< no scales: elements are stored as they are
};

/// The storage format of the KV cache; independent of the activation dtype, which Step carries.
struct KvFormat {
  DType keys = DType::float32;    ///< element type of the keys
  DType values = DType::float32;  ///< element type of the values
  KvScales scales = KvScales::none;

  bool operator==(const KvFormat&) const = default;
};

/// Keys and values in `dtype`, without scales.
constexpr KvFormat unscaled_kv_format(DType dtype) { return {dtype, dtype, KvScales::none}; }

/// Checks that attention supports a cache of this format: its elements must have the activation
/// dtype, since k and v are stored unconverted. Errors: unsupported naming the format, the
/// activation dtype and what is expected.
void check_kv_format(const KvFormat& format, DType activation_dtype);

/// Bytes of one KV block over all layers.
struct KvBlockBytes {
  std::size_t keys = 0;
  std::size_t values = 0;

  std::size_t total() const { return keys + values; }
};

/// The dimensions of a model's KV cache.
struct KvGeometry {
  int num_layers = 0;
  int num_kv_heads = 0;
  int head_dim = 0;
};

/// Bytes of a block of `block_size` tokens; memory plans use this too. Errors: internal on
/// overflow.
KvBlockBytes kv_block_bytes(const KvGeometry& geometry, const KvFormat& format, int block_size);

}  // namespace quern
