#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/check.h"
#include "base/memory/shape.h"

namespace quern {

/// Allocates arrays in a step's workspace, sequentially. A default-constructed one has no memory
/// and only counts, so that one layout function serves both planning and allocation.
class Workspace {
 public:
  Workspace() = default;
  explicit Workspace(std::span<std::byte> bytes) : bytes_(bytes), counting_(false) {}

  /// The next `count` elements, aligned to 256 bytes and uninitialized; null when counting.
  template <typename T>
  T* take(std::int64_t count) {
    const std::size_t begin = used_bytes_;
    used_bytes_ += align_up(static_cast<std::size_t>(count) * sizeof(T), kAlignment);
    if (counting_) return nullptr;
    QUERN_CHECK(used_bytes_ <= bytes_.size(), "workspace of {} bytes, {} needed", bytes_.size(),
                used_bytes_);
    return reinterpret_cast<T*>(bytes_.data() + begin);
  }

  std::size_t used_bytes() const { return used_bytes_; }

 private:
  static constexpr std::size_t kAlignment = 256;  // required by cuBLASLt's workspace

  std::span<std::byte> bytes_;
  std::size_t used_bytes_ = 0;
  bool counting_ = true;
};

}  // namespace quern
