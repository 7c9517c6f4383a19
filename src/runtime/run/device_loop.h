#pragma once

#include <chrono>
#include <functional>

#include "backend/backend.h"
#include "runtime/output/ring_reader.h"
#include "runtime/run/model_runner.h"

namespace quern {

/// The host's side of a decode loop that runs on the device.
class DeviceLoop {
 public:
  /// All arguments must outlive this.
  DeviceLoop(Backend& backend, ModelRunner& runner, const RingReader& ring)
      : backend_(backend), runner_(runner), ring_(ring) {}
  DeviceLoop(const DeviceLoop&) = delete;
  DeviceLoop& operator=(const DeviceLoop&) = delete;
  /// Ends a running loop.
  ~DeviceLoop() { abandon(); }

  /// Whether a loop was started whose end wait_for_step() has not reported yet.
  bool running() const { return running_; }
  /// Starts a loop over the decode sequences of `batch`. It ends by itself as `control` says; the
  /// ring must have room for that many steps.
  void start(const BatchView& batch, const LoopControl& control);
  /// Asks a running loop to end after its current step. Repeated calls have no effect.
  void request_stop();
  /// Waits for an unread step; false when the loop has ended and all was read. Errors: device, also
  /// when no step comes for `patience`; see Backend::wait_until, also for `meanwhile`.
  bool wait_for_step(std::chrono::milliseconds patience, const std::function<void()>& meanwhile);
  /// Asks the loop to end and drops its state; later launches are ordered after it.
  void abandon() noexcept;

 private:
  Backend& backend_;
  ModelRunner& runner_;
  const RingReader& ring_;
  bool running_ = false;
  bool stop_requested_ = false;
};

}  // namespace quern
