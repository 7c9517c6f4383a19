#pragma once

#include <cuda_runtime_api.h>

namespace quern::cuda {

/// Owns a stream of the current device. It does not wait for the legacy default stream.
class Stream {
 public:
  Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  ~Stream();

  cudaStream_t get() const { return stream_; }
  /// Waits for all work so far. Errors: device, also for what that work ran into.
  void synchronize() const;

 private:
  cudaStream_t stream_ = nullptr;
};

/// Owns an event without timing.
class Event {
 public:
  Event();
  Event(const Event&) = delete;
  Event& operator=(const Event&) = delete;
  ~Event();

  void record(const Stream& stream);
  /// Waits for the work before the last record(); returns at once when there was none.
  void synchronize() const;

 private:
  cudaEvent_t event_ = nullptr;
};

}  // namespace quern::cuda
