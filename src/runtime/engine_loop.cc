// The decode loop, whoever runs it, and the reading of what the steps sampled.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "runtime/engine_impl.h"
#include "runtime/output/request_error.h"

namespace quern {
namespace {

/// Watchdog: a device that publishes no decode step for this long is reported as hung; a step takes
/// milliseconds.
constexpr std::chrono::seconds kHangTimeout{60};
/// Prefill publishes a step only with a prompt's last chunk. The slowest GPU takes far less.
constexpr std::chrono::milliseconds kHangTimeoutPerPromptToken{100};
/// Starting a loop and waiting for its end cost as much as some steps that are launched ahead.
constexpr int kWorthALoop = 16;
/// Output-ring entry of a step that gave a row neither a token nor an error.
constexpr std::int32_t kNoRingToken = -1;

/// The minimum and maximum number of steps left over the runs, all of them in decode.
std::pair<int, int> remaining_steps(const ScheduledStep& step) {
  const auto remaining = [](const ScheduledRun& run) {
    return run.sequence->max_tokens - run.sequence->launched;
  };
  const auto by_remaining = [&](const ScheduledRun& a, const ScheduledRun& b) {
    return remaining(a) < remaining(b);
  };
  const auto [shortest, longest] =
      std::minmax_element(step.runs.begin(), step.runs.end(), by_remaining);
  return {remaining(*shortest), remaining(*longest)};
}

/// Expected steps to the end of one of the runs, all of them in decode: at most to the first limit,
/// and the mean distance between two ends when sequences are evenly far along.
int steps_to_next_end(const ScheduledStep& step) {
  std::int64_t sum = 0;
  for (const ScheduledRun& run : step.runs)
    sum += run.sequence->max_tokens - run.sequence->launched;
  const auto num_runs = std::ssize(step.runs);
  return static_cast<int>(
      std::min<std::int64_t>(remaining_steps(step).first, sum / (num_runs * num_runs)));
}

}  // namespace

bool Engine::Impl::wants_device_loop(const ScheduledStep& step) const {
  if (!runner_.has_device_loops() || device_loop_fails_ || scheduler_.has_beams()) return false;
  return scheduler_.waiting().empty() || steps_to_next_end(step) >= kWorthALoop;
}

int Engine::Impl::decode_steps_until_check(const ScheduledStep& step) const {
  const auto [shortest, longest] = remaining_steps(step);
  // A waiting request gets the first row whose owner is known to be at its limit.
  const std::int64_t limit = scheduler_.waiting().empty() ? longest : shortest;
  const std::int64_t room = plan_.ring_capacity - unread_.num_steps();
  return static_cast<int>(std::min({limit, room, schedule_.steps_until_check(steps_done_)}));
}

void Engine::Impl::launch_decode(const BatchView& batch, int times) {
  clock_.timing.loop = LoopRunner::host;
  if (runner_.has_device_loops() && !device_loop_fails_) {
    LoopControl control;
    control.steps_left = times;
    control.stop_at_running = -1;  // all of them, so that the host knows how many
    if (try_device_loop([&] { runner_.start_device_loop(batch, control); })) return;
  }
  runner_.replay_decode(batch, times);
}

template <typename Wait>
auto Engine::Impl::wait_for_device(const Wait& wait) const {
  try {
    return wait();
  } catch (const Error& error) {
    fail(error.code(), "{}: {}", in_flight_, error.what());
  }
}

template <typename Start>
bool Engine::Impl::try_device_loop(const Start& start) {
  try {
    start();
  } catch (const Error& error) {
    if (plan_.options.device_loop == DeviceLoopChoice::require) throw;
    log(LogLevel::warning, "the host takes over the decode loop: {}", error.what());
    device_loop_fails_ = true;
    return false;
  }
  return true;
}

bool Engine::Impl::start_device_loop(const ScheduledStep& step) {
  QUERN_CHECK(unread_.empty());
  const BatchView batch = runner_.write_batch(step);
  const auto num_seqs = static_cast<int>(step.runs.size());  // without padding
  in_flight_ = fmt::format("device loop of {} sequences", num_seqs);
  LoopControl control;
  const int wanted =
      std::min({remaining_steps(step).second, plan_.ring_capacity, runner_.max_loop_steps(batch)});
  // A loop ends at the end of the blocks that its sequences have.
  control.steps_left = grow(step, wanted);
  if (control.steps_left < std::min(wanted, kWorthALoop)) return false;
  // With waiting requests the loop ends once a row is free, else at half the batch: a smaller
  // bucket is faster.
  control.stop_at_running = scheduler_.waiting().empty() ? num_seqs / 2 : num_seqs - 1;
  if (!try_device_loop([&] { device_loop_.start(batch, control); })) return false;
  clock_.timing.loop = LoopRunner::device;
  return true;
}

bool Engine::Impl::take_loop_tokens() {
  // Whoever arrives during a step is admitted after it, not after the next.
  const bool could_admit =
      arrives_ && scheduler_.waiting().empty() && scheduler_.num_free_rows() > 0;
  const auto stop_for_arrival = [&] {
    if (could_admit && arrives_()) device_loop_.request_stop();
  };
  const auto wait = [&] { return device_loop_.wait_for_step(patience(), stop_for_arrival); };
  if (!wait_for_device(wait)) return false;
  const int count = ring_.num_unread();
  for (const auto& sequence : scheduler_.running()) sequence->launched += count;
  add_unread(count, true);
  take_tokens(count);
  return true;
}

bool Engine::Impl::follow_device_loop() {
  if (!take_loop_tokens()) return false;
  const auto& running = scheduler_.running();
  const auto finished = [](const auto& sequence) { return sequence->output.finished(); };
  const auto ended_on_host = [](const auto& sequence) {
    const auto reason = sequence->output.finish_reason();
    // The device does not know of EOS tokens beyond those of a full row.
    const bool knows_all = sequence->sampling.num_eos_token_ids < kMaxEosTokenIds;
    return reason == FinishReason::stop_string || (reason == FinishReason::stop && !knows_all);
  };
  if (std::any_of(running.begin(), running.end(), ended_on_host)) device_loop_.request_stop();
  if (std::all_of(running.begin(), running.end(), finished)) drain_device_loop();
  return true;
}

void Engine::Impl::drain_device_loop() {
  while (device_loop_.running()) take_loop_tokens();
}

bool Engine::Impl::check_due() const {
  if (unread_.empty()) return false;
  if (schedule_.is_check(steps_done_) || unread_.num_steps() == plan_.ring_capacity) return true;
  const auto& running = scheduler_.running();
  const auto exhausted = [](const auto& sequence) { return sequence->exhausted(); };
  return scheduler_.waiting().empty() ? std::all_of(running.begin(), running.end(), exhausted)
                                      : std::any_of(running.begin(), running.end(), exhausted);
}

std::chrono::milliseconds Engine::Impl::patience() const {
  return kHangTimeout + unread_.num_prompt_tokens() * kHangTimeoutPerPromptToken;
}

void Engine::Impl::check() {
  wait_for_device([&] {
    // First wait for the last step's tokens: that wait has a watchdog, the driver's has none.
    backend_->wait_until(ring_.published(), ring_.position_of(unread_.num_steps()), patience());
    backend_->wait();
  });
  QUERN_CHECK(ring_.num_unread() == unread_.num_steps(), "{} steps published, {} launched",
              ring_.num_unread(), unread_.num_steps());
  take_tokens(unread_.num_steps());
}

bool Engine::Impl::host_goes_on() const {
  return scheduler_.prefilling() || !scheduler_.waiting().empty();
}

void Engine::Impl::read_behind(bool launched) {
  if (unread_.empty()) return;
  // One unit at a time: tokens of the first do not wait for the second.
  if (!host_goes_on() && unread_.num_units() == 1) return check();
  if (launched && unread_.num_units() < kUnitsAhead) return;
  const int count = unread_.steps_of_oldest();
  wait_for_device([&] {
    const auto position = ring_.position_of(count);
    if (!backend_->wait_until(ring_.published(), position, patience())) backend_->wait();
  });
  QUERN_CHECK(ring_.num_unread() >= count && ring_.num_unread() <= unread_.num_steps(),
              "{} steps published, {} of {} expected", ring_.num_unread(), count,
              unread_.num_steps());
  take_tokens(ring_.num_unread());
}

void Engine::Impl::take_tokens(int count) {
  waits_for_prefill_ = false;
  for (int i = 0; i < count; ++i) {
    const bool decodes_only = unread_.read_one();
    if (!decodes_only) waits_for_prefill_ = true;
    for (const auto& sequence : scheduler_.running()) {
      if (!sequence->owns_token(ring_.position_of(i)) || sequence->output.finished()) continue;
      if (sequence->beams) {
        // Only the last unread step can have its tokens: each is read before the next.
        if (i + 1 < count || sequence->launched == 0) continue;
        take_beam_tokens(*sequence, i);
        if (decodes_only) ++clock_.timing.decode_tokens;
        clock_.first_token();
        continue;
      }
      TokenLogprobs token =
          ring_.token(i, sequence->state_row, sequence->sampling.num_top_logprobs);
      if (token.id == kNoRingToken) continue;
      if (sequence->group) sequence->group->prompt_ready = true;
      if (token.id < 0) {
        sequence->output.fail(sample_error_text(token.id, *plan_.options.dtype));
        continue;
      }
      sequence->accept(std::move(token));
      scheduler_.publish(*sequence);
      if (decodes_only) ++clock_.timing.decode_tokens;
      clock_.first_token();
    }
  }
  ring_.consume(count);
  ++clock_.timing.stop_checks;
}

}  // namespace quern
