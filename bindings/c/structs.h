#pragma once

#include <cstddef>
#include <cstring>
#include <string>
#include <type_traits>

#include "quern/error.h"
#include "quern/quern.h"

// Structs of several versions: see "Forward compatibility" in quern/quern.h.

namespace quern::c {

[[noreturn]] inline void reject_struct(ErrorCode code, const char* type, std::size_t size,
                                       std::size_t known, const char* expected) {
  throw Error(code, std::string(type) + ": struct_size: expected " + expected + ", got " +
                        std::to_string(size) + " (this version's: " + std::to_string(known) + ")");
}

/// A struct of this version's size: what `given` lacks is 0. Errors: invalid_argument for a
/// struct_size that was not set; unsupported for bytes beyond this version's that are not 0.
template <class T>
T read_struct(const T& given, const char* type) {
  static_assert(std::is_trivially_copyable_v<T> && offsetof(T, struct_size) == 0);
  const std::size_t size = given.struct_size;
  if (size < sizeof(std::size_t) || size % alignof(std::size_t) != 0) {
    reject_struct(ErrorCode::invalid_argument, type, size, sizeof(T), "the struct's sizeof");
  }
  const auto* bytes = reinterpret_cast<const unsigned char*>(&given);
  for (std::size_t i = sizeof(T); i < size; ++i) {
    if (bytes[i] != 0) {
      reject_struct(ErrorCode::unsupported, type, size, sizeof(T),
                    "zeros in the fields that only newer versions have");
    }
  }
  T read{};
  std::memcpy(&read, bytes, size < sizeof(T) ? size : sizeof(T));
  return read;
}

/// Fills `out` as far as its struct_size goes; what this version does not know becomes 0.
template <class T>
void write_struct(T* out, T value, const char* type) {
  const std::size_t size = out->struct_size;
  if (size < sizeof(std::size_t) || size % alignof(std::size_t) != 0) {
    reject_struct(ErrorCode::invalid_argument, type, size, sizeof(T), "the struct's sizeof");
  }
  value.struct_size = size;
  auto* bytes = reinterpret_cast<unsigned char*>(out);
  std::memcpy(bytes, &value, size < sizeof(T) ? size : sizeof(T));
  if (size > sizeof(T)) std::memset(bytes + sizeof(T), 0, size - sizeof(T));
}

}  // namespace quern::c
