#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/dtype.h"

namespace quern {

/// Granularity of the scales of cached vectors.
enum class KvScales : std::uint8_t {
  none,        ///< no scales: elements are stored as they are
  per_vector,  ///< a float32 scale for each vector of 8-bit numbers: of a head and token
};

/// Whether cached vectors of this element type are 8-bit numbers times a scale; kv_vector.h says
/// how. uint8 holds the numbers -127 … 127, plus 128.
constexpr bool is_scaled(DType stored) {
  return stored == DType::uint8 || stored == DType::float8_e4m3;
}

/// The storage format of the KV cache; independent of the activation dtype, which Step carries.
struct KvFormat {
  DType keys = DType::float32;    ///< element type of the keys
  DType values = DType::float32;  ///< element type of the values
  KvScales scales = KvScales::none;

  bool operator==(const KvFormat&) const = default;
};

/// Keys and values in `dtype`, without scales.
constexpr KvFormat unscaled_kv_format(DType dtype) { return {dtype, dtype, KvScales::none}; }

/// Keys and values as given; 8-bit ones have a scale for each vector.
constexpr KvFormat kv_format(DType keys, DType values) {
  const bool scaled = is_scaled(keys) || is_scaled(values);
  return {keys, values, scaled ? KvScales::per_vector : KvScales::none};
}

/// Checks that attention supports a cache of this format: keys and values have the activation
/// dtype, both are uint8 or both float8_e4m3 with scales, or only the values are uint8. Errors:
/// unsupported naming the format, the activation dtype and what is expected.
void check_kv_format(const KvFormat& format, DType activation_dtype);

/// "float16", "uint8 with a scale for each vector", "float16 keys, uint8 values with …".
std::string describe(const KvFormat& format);

/// Bytes of one KV block over all layers.
struct KvBlockBytes {
  std::size_t keys = 0;
  std::size_t values = 0;
  std::size_t key_scales = 0;
  std::size_t value_scales = 0;

  std::size_t scales() const { return key_scales + value_scales; }
  std::size_t total() const { return keys + values + scales(); }
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
