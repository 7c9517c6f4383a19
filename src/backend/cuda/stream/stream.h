#pragma once

#include <cuda_runtime_api.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>

namespace quern::cuda {

/// Owns a stream of the current device, non-blocking with respect to the legacy default stream.
class Stream {
 public:
  Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream();

  cudaStream_t get() const { return stream_; }
  /// Waits for all work so far. Errors: device, also for asynchronous errors of that work, and at
  /// once after declare_hung().
  void synchronize() const;
  /// Whether all work so far is done. Errors: as synchronize().
  bool idle() const;

  /// Number of host waits for this stream's work, here or by an event. Thread-safe.
  std::uint64_t num_waits() const { return num_waits_; }
  void count_wait() const { ++num_waits_; }

  /// Abandons the device. Waiting for it would block forever: such calls fail from here on, and
  /// memory and handles are leaked. Always throws Error(device).
  [[noreturn]] void declare_hung(std::chrono::milliseconds patience) const;
  /// Errors: device after declare_hung().
  void check_not_hung() const;
  /// Set by declare_hung(); it may outlive the stream.
  const std::shared_ptr<std::atomic<bool>>& hung() const { return hung_; }

 private:
  cudaStream_t stream_ = nullptr;
  std::shared_ptr<std::atomic<bool>> hung_ = std::make_shared<std::atomic<bool>>(false);
  mutable std::atomic<std::uint64_t> num_waits_ = 0;
};

/// Owns an event without timing.
class Event {
 public:
  Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event();

  /// The stream outlives the event's use.
  void record(const Stream& stream);
  /// Waits for the work before the last record(); returns at once when there was none.
  void synchronize() const;

 private:
  cudaEvent_t event_ = nullptr;
  const Stream* stream_ = nullptr;
};

}  // namespace quern::cuda
