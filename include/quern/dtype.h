#pragma once

#include <cstddef>
#include <cstdint>

namespace quern {

/// Element types of weights, activations and indices.
enum class DType : std::uint8_t {
  float32,
  float16,
  bfloat16,
  int32,
  int64,
  uint8,
  float8_e4m3,  ///< 4 exponent and 3 mantissa bits, no infinities (OCP's E4M3, torch's e4m3fn)
  uint4,        ///< two to a byte, the first in the lower bits; weights only
};

/// Bytes per element; of uint4 the byte that two elements share.
constexpr std::size_t dtype_bytes(DType dtype) {
  switch (dtype) {
    case DType::float32:
    case DType::int32:
      return 4;
    case DType::float16:
    case DType::bfloat16:
      return 2;
    case DType::int64:
      return 8;
    case DType::uint8:
    case DType::float8_e4m3:
    case DType::uint4:
      return 1;
  }
  return 0;
}

/// "float32", "float16", …: as in Hugging Face's configs and in Quern's options.
constexpr const char* dtype_name(DType dtype) {
  switch (dtype) {
    case DType::float32:
      return "float32";
    case DType::float16:
      return "float16";
    case DType::bfloat16:
      return "bfloat16";
    case DType::int32:
      return "int32";
    case DType::int64:
      return "int64";
    case DType::uint8:
      return "uint8";
    case DType::float8_e4m3:
      return "float8_e4m3";
    case DType::uint4:
      return "uint4";
  }
  return "unknown";
}

}  // namespace quern
