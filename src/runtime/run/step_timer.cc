#include "runtime/run/step_timer.h"

#include <cstddef>
#include <utility>

namespace quern {
namespace {

/// Launches that are timed before the device is waited for; each has two marks.
constexpr std::size_t kMaxLaunches = std::size_t{1} << 15;

}  // namespace

StepTimer::StepTimer(Backend& backend) : stopwatch_(backend.make_stopwatch()) { restart(); }

void StepTimer::restart() {
  launches_.clear();
  constexpr int kDoNotHold = 0;
  stopwatch_->start(kDoNotHold);
}

void StepTimer::begin(const BatchView& batch) {
  if (launches_.size() == kMaxLaunches) collect();
  launches_.push_back(
      {batch.num_decode_seqs > 0, batch.num_tokens > batch.num_decode_seqs, batch.num_tokens});
  stopwatch_->mark();
}

void StepTimer::end() { stopwatch_->mark(); }

StepTimes::Kind& StepTimer::kind_of(const Launch& launch) {
  if (!launch.prefills) return times_.decode;
  return launch.decodes ? times_.mixed : times_.prefill;
}

void StepTimer::collect() {
  const std::vector<double> laps_us = stopwatch_->take_laps_us();
  // A step that failed has no end.
  for (std::size_t i = 0; i < launches_.size() && 2 * i + 1 < laps_us.size(); ++i) {
    StepTimes::Kind& kind = kind_of(launches_[i]);
    ++kind.num_launches;
    kind.num_tokens += static_cast<std::uint64_t>(launches_[i].num_tokens);
    kind.idle_ms += laps_us[2 * i] / 1e3;
    kind.busy_ms += laps_us[2 * i + 1] / 1e3;
  }
  restart();
}

StepTimes StepTimer::take() {
  collect();
  return std::exchange(times_, {});
}

}  // namespace quern
