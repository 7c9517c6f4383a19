#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "base/check.h"
#include "base/memory/buffer.h"

namespace quern {

/// Bump allocator over one buffer: returns aligned ranges and never frees. The size is planned in
/// advance, so running out is a bug (QUERN_CHECK), not an input error.
class Arena {
 public:
  static constexpr std::size_t kAlignment = 256;

  Arena() = default;
  Arena(std::string name, Buffer buffer);

  std::byte* take(std::size_t size_bytes);
  template <typename T>
  std::span<T> take_array(std::size_t count) {
    QUERN_CHECK(count <= SIZE_MAX / sizeof(T), "{} elements of {} bytes", count, sizeof(T));
    return {reinterpret_cast<T*>(take(count * sizeof(T))), count};
  }

  std::size_t used_bytes() const { return used_bytes_; }
  const Buffer& buffer() const { return buffer_; }

 private:
  std::string name_;
  Buffer buffer_;
  std::size_t used_bytes_ = 0;
};

}  // namespace quern
