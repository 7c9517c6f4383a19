#pragma once

#include <array>
#include <cstddef>
#include <optional>

#include "backend/cuda/stream/stream.h"
#include "base/memory/buffer.h"
#include "base/threads/thread_pool.h"
#include "weights/source.h"

namespace quern::cuda {

/// Zeroed device memory; zeroing is in stream order. Errors: out_of_memory naming `what`, the bytes
/// and the free bytes.
Buffer allocate_device(std::size_t size_bytes, const char* what, Device device,
                       const Stream& stream);

/// Pinned (page-locked) host memory, which kernels access at the same address. Not zeroed. `stream`
/// is the stream of the work that uses it. Errors: out_of_memory naming `what` and the bytes.
Buffer allocate_pinned(std::size_t size_bytes, const char* what, const Stream& stream);

/// Copies host memory to the device in stream order without waiting for the device: bytes are
/// staged in slots of pinned memory, and only a slot that is still in flight is waited for. Small
/// copies share a slot.
class StagingRing {
 public:
  StagingRing(const Stream& stream, Device device);

  /// `source` may be changed after the call.
  void copy(void* device_destination, const void* host_source, std::size_t size_bytes);

  /// Uploads all rows of a weight's component, dense. Several threads read, each into a slot of its
  /// own, while the device copies from others. Errors: unsupported for a row larger than a slot;
  /// exceptions of `read`.
  void copy_rows(std::byte* device_destination, const ComponentPlace& component,
                 const RowReader& read);

 private:
  static constexpr std::size_t kSlotBytes = std::size_t{2} << 20;
  static constexpr std::size_t kSlots = 16;

  std::byte* slot(std::size_t index) const { return memory_.data() + index * kSlotBytes; }
  void send(std::byte* device_destination, const std::byte* staged, std::size_t size_bytes) const;
  void next_slot();
  ThreadPool& readers();

  const Stream& stream_;
  Device device_;
  Buffer memory_;
  std::array<Event, kSlots> read_;  ///< the slot's last copy is done
  std::size_t slot_ = 0;
  std::size_t used_bytes_ = 0;  ///< of the slot
  std::optional<ThreadPool> readers_;
};

}  // namespace quern::cuda
