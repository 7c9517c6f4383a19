#pragma once

#include <cstddef>
#include <cstdint>

#include "base/memory/buffer.h"

namespace quern {

/// The memory of one device: allocation, and copies in the order of the device's work.
class DeviceMemory {
 public:
  virtual ~DeviceMemory() = default;

  /// Bytes that are free on the device, or on the host for what the process may take.
  virtual std::uint64_t available_bytes() const = 0;
  /// The most memory that was in use so far, in bytes: of the process on the CPU; of the whole
  /// device, driver and libraries included, on a GPU.
  virtual std::uint64_t peak_memory_bytes() const = 0;
  /// Zeroed memory on the device. Errors: out_of_memory naming `what` and the bytes.
  virtual Buffer allocate(std::size_t size_bytes, const char* what) = 0;
  /// Zeroed host memory that the device writes while the host reads it.
  /// Errors: out_of_memory naming `what` and the bytes.
  virtual Buffer allocate_shared(std::size_t size_bytes, const char* what) = 0;
  /// Copies between host and device. copy_out waits until the data is there.
  virtual void copy_in(void* device_destination, const void* host_source,
                       std::size_t size_bytes) = 0;
  virtual void copy_out(void* host_destination, const void* device_source,
                        std::size_t size_bytes) = 0;
  /// Writes one word of device memory at once, not in the order of the work: a running step may see
  /// it.
  virtual void write_now(std::int32_t* device_word, std::int32_t value) = 0;
};

}  // namespace quern
