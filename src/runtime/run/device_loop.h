#pragma once

#include <chrono>

#include "backend/backend.h"
#include "runtime/output/ring_reader.h"
#include "runtime/run/model_runner.h"

namespace quern {

/// The decode loop that the device runs by itself, as the host follows it.
class DeviceLoop {
 public:
  /// All must outlive this.
  DeviceLoop(Backend& backend, ModelRunner& runner, const RingReader& ring)
      : backend_(backend), runner_(runner), ring_(ring) {}
  DeviceLoop(const DeviceLoop&) = delete;
  DeviceLoop& operator=(const DeviceLoop&) = delete;
  /// Ends a loop that is under way.
  ~DeviceLoop() { abandon(); }

  /// Whether a loop was started of which wait_for_step() has not yet told the end.
  bool running() const { return running_; }
  /// Starts a loop over the decode sequences of `batch`. It ends by itself as `control` says; the
  /// ring must have room for that many steps.
  void start(const BatchView& batch, const LoopControl& control);
  /// Asks the loop, if one is running, to end after the step that it is in. Asks once.
  void request_stop();
  /// Waits for a step that has not been read; false when the loop has ended and all was read.
  /// Errors: device, also when no step comes for `patience`; see Backend::wait_until.
  bool wait_for_step(std::chrono::milliseconds patience);
  /// Asks the loop to end and forgets it; what is launched afterwards comes after it.
  void abandon() noexcept;

 private:
  Backend& backend_;
  ModelRunner& runner_;
  const RingReader& ring_;
  bool running_ = false;
  bool stop_requested_ = false;
};

}  // namespace quern
