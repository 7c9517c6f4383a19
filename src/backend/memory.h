#pragma once

#include <cstddef>
#include <cstdint>

#include "base/memory/buffer.h"

namespace quern {

/// Memory of one device: allocation, and copies in stream order.
class DeviceMemory {
 public:
  virtual ~DeviceMemory() = default;

  /// Free bytes of the device, or on the host those that the process may use.
  virtual std::uint64_t available_bytes() const = 0;
  /// Peak memory use in bytes: of the process on the CPU; of the whole device, driver and libraries
  /// included, on a GPU.
  virtual std::uint64_t peak_memory_bytes() const = 0;
  /// Zeroed memory on the device. Errors: out_of_memory naming `what` and the bytes.
  virtual Buffer allocate(std::size_t size_bytes, const char* what) = 0;
  /// Zeroed host memory that the device writes while the host reads it.
  /// Errors: out_of_memory naming `what` and the bytes.
  virtual Buffer allocate_shared(std::size_t size_bytes, const char* what) = 0;
  /// Copies between host and device. copy_out blocks until the data has arrived.
  virtual void copy_in(void* device_destination, const void* host_source,
                       std::size_t size_bytes) = 0;
  virtual void copy_out(void* host_destination, const void* device_source,
                        std::size_t size_bytes) = 0;
  /// Writes one word of device memory at once, outside stream order: a running step may see it.
  virtual void write_now(std::int32_t* device_word, std::int32_t value) = 0;
};

}  // namespace quern
