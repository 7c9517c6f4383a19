#include "runtime/run/device_loop.h"

namespace quern {

void DeviceLoop::start(const BatchView& batch, const LoopControl& control) {
  runner_.start_device_loop(batch, control);
  running_ = true;
  stop_requested_ = false;
}

void DeviceLoop::request_stop() {
  if (!running_ || stop_requested_) return;
  backend_.write_now(&runner_.arrays().loop()->stop_requested, 1);
  stop_requested_ = true;
}

bool DeviceLoop::wait_for_step(std::chrono::milliseconds patience,
                               const std::function<void()>& meanwhile) {
  constexpr int kOne = 1;
  const std::int64_t position = ring_.position_of(kOne);
  running_ = backend_.wait_until(ring_.published(), position, patience, meanwhile);
  return running_;
}

void DeviceLoop::abandon() noexcept {
  try {
    request_stop();
  } catch (...) {
    // A device without this signal runs no loop.
  }
  running_ = false;
}

}  // namespace quern
