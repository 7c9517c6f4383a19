#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <vector>

#include "backend/backend.h"

namespace quern::testing {

/// Device memory between two guard bands. It starts poisoned: every byte is 0xff, which is NaN in
/// every supported float type and -1 in integers.
class GuardedBuffer {
 public:
  GuardedBuffer(Backend& backend, std::size_t size_bytes)
      : backend_(&backend),
        size_bytes_(size_bytes),
        buffer_(backend.allocate(size_bytes + 2 * kGuardBytes, "test")) {
    const std::vector<std::byte> content(size_bytes, kPoison);
    const std::vector<std::byte> guard(kGuardBytes, kGuard);
    backend.copy_in(data(), content.data(), size_bytes);
    backend.copy_in(buffer_.data(), guard.data(), kGuardBytes);
    backend.copy_in(data() + size_bytes, guard.data(), kGuardBytes);
  }

  std::byte* data() const { return buffer_.data() + kGuardBytes; }
  std::span<std::byte> bytes() const { return {data(), size_bytes_}; }

  std::vector<std::byte> read() const {
    std::vector<std::byte> content(size_bytes_);
    backend_->copy_out(content.data(), data(), size_bytes_);
    return content;
  }

  bool guards_intact() const {
    const std::vector<std::byte> expected(kGuardBytes, kGuard);
    std::vector<std::byte> actual(kGuardBytes);
    backend_->copy_out(actual.data(), buffer_.data(), kGuardBytes);
    if (actual != expected) return false;
    backend_->copy_out(actual.data(), data() + size_bytes_, kGuardBytes);
    return actual == expected;
  }

 private:
  static constexpr std::size_t kGuardBytes = 256;
  static constexpr std::byte kPoison{0xff};
  static constexpr std::byte kGuard{0x5a};

  Backend* backend_;
  std::size_t size_bytes_;
  Buffer buffer_;
};

}  // namespace quern::testing
