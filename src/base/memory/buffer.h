#pragma once

#include <cstddef>
#include <functional>
#include <span>

#include "base/memory/device.h"

namespace quern {

/// Owns a block of memory on one device; move-only. `release` frees it.
class Buffer {
 public:
  using Release = std::function<void(std::byte*)>;

  Buffer() = default;
  Buffer(std::byte* data, std::size_t size_bytes, Device device, Release release);
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer();

  std::byte* data() const { return data_; }
  std::size_t size_bytes() const { return size_bytes_; }
  Device device() const { return device_; }
  std::span<std::byte> bytes() const { return {data_, size_bytes_}; }

 private:
  void reset() noexcept;

  std::byte* data_ = nullptr;
  std::size_t size_bytes_ = 0;
  Device device_;
  Release release_;
};

/// Zeroed host memory, aligned to 64 bytes; pages are committed on first use. Errors: out_of_memory
/// naming `what` and the bytes.
Buffer allocate_host(std::size_t size_bytes, const char* what);

}  // namespace quern
