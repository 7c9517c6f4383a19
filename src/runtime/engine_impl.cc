#include "runtime/engine_impl.h"

#include <algorithm>
#include <utility>

#include "backend/trace_range.h"
#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "runtime/output/request_error.h"
#include "runtime/request/request_check.h"

namespace quern {
namespace {

/// Watchdog: a device that publishes no decode step for this long is reported as hung; a step takes
/// milliseconds.
constexpr std::chrono::seconds kHangTimeout{60};
/// Prefill publishes a step only with a prompt's last chunk. The slowest GPU takes far less.
constexpr std::chrono::milliseconds kHangTimeoutPerPromptToken{100};
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

}  // namespace

Engine::Impl::Impl(const ModelSource& model, const EngineOptions& resolved)
    : model_(open_model(model, resolved)),
      info_(model_info(model_)),
      backend_(make_backend(resolved)),
      plan_(plan_engine(model_, *backend_, resolved)),
      runner_(model_, plan_, *backend_),
      ring_(runner_.arrays().ring()),
      device_loop_(*backend_, runner_, ring_),
      scheduler_(plan_.limits),
      schedule_(plan_.options.skip_steps, plan_.options.check_interval) {
  warn_of_random_weights(model_);
  backend_->wait();
  waits_of_loading_ = backend_->num_waits();
  clock_.timing.load_ms = StepClock::ms_since(load_begin_);
}

RequestId Engine::Impl::submit(const Request& request) {
  auto sequence = make_sequence(next_id_, request, model_, plan_.limits.max_seq_len);
  if (scheduler_.idle()) {
    steps_done_ = 0;
    clock_.started();
  }
  scheduler_.add(std::move(sequence));
  cancellations_.add(next_id_);
  stop_loop_for_admission();
  return next_id_++;
}

std::vector<Update> Engine::Impl::step() {
  results_.trim();
  // A running device loop goes on while the caller handles updates.
  const auto begin = device_loop_.running() ? clock_.last_step_end() : StepClock::now();
  const auto prefilled = clock_.timing.prefill_tokens;
  try {
    const TraceRange range(*backend_, "step");
    run_step();
  } catch (const std::exception& error) {
    abandon_step(error.what());
  }
  clock_.add_step(begin, clock_.timing.prefill_tokens > prefilled);
  std::vector<Update> updates = collect_updates();
  stop_loop_for_admission();
  return updates;
}

void Engine::Impl::stop_loop_for_admission() {
  if (device_loop_.running() && scheduler_.can_admit()) device_loop_.request_stop();
}

void Engine::Impl::abandon_step(const std::string& error) {
  device_loop_.abandon();
  try {
    backend_->wait();
  } catch (const Error&) {
    // The step's own error is the one to report.
  }
  unread_steps_.clear();
  unread_prefill_tokens_ = 0;
  ring_.skip_unread();
  const auto fail_all = [&](const auto& sequences) {
    for (const auto& sequence : sequences) sequence->output.fail(error);
  };
  fail_all(scheduler_.running());
  fail_all(scheduler_.waiting());
}

void Engine::Impl::settle() {
  device_loop_.request_stop();
  drain_device_loop();
  if (!unread_steps_.empty()) check();
}

void Engine::Impl::discard(std::span<const RequestId> ids) {
  try {
    settle();
  } catch (const std::exception& error) {
    abandon_step(error.what());
  }
  for (const RequestId id : ids) {
    forget(id);
    results_.take(id);
  }
}

void Engine::Impl::run_step() {
  apply_cancellations();
  if (device_loop_.running() && follow_device_loop()) return;
  admit();
  const ScheduledStep step = scheduler_.schedule();
  if (!step.runs.empty()) run_scheduled(step);
  if (check_due()) check();
}

void Engine::Impl::run_scheduled(const ScheduledStep& step) {
  if (step.num_prefill_tokens > 0) {
    launch(step, 1);
  } else if (runner_.has_device_loops() && !device_loop_fails_ && start_device_loop(step)) {
    follow_device_loop();
  } else {
    launch(step, decode_steps_until_check(step));
  }
}

void Engine::Impl::admit() {
  for (const Sequence* sequence : scheduler_.admit()) {
    runner_.arrays().write_sequence(*sequence, initial_rope_alpha(model_, *sequence));
  }
}

int Engine::Impl::decode_steps_until_check(const ScheduledStep& step) const {
  const auto [shortest, longest] = remaining_steps(step);
  // A waiting request gets the first row whose owner is known to be at its limit.
  const std::int64_t limit = scheduler_.waiting().empty() ? longest : shortest;
  const std::int64_t room = plan_.ring_capacity - std::ssize(unread_steps_);
  return static_cast<int>(std::min({limit, room, schedule_.steps_until_check(steps_done_)}));
}

void Engine::Impl::launch(const ScheduledStep& step, int times) {
  const BatchView batch = runner_.write_batch(step);
  const bool decodes_only = step.num_prefill_tokens == 0;
  in_flight_ = fmt::format("step of {} sequences, {} tokens", step.runs.size(),
                           step.num_decode + step.num_prefill_tokens);
  if (decodes_only) {
    runner_.replay_decode(batch, times);
    clock_.timing.loop = LoopRunner::host;
  } else {
    runner_.run(batch);
  }
  scheduler_.launched(step, times);
  clock_.timing.prefill_tokens += static_cast<std::uint64_t>(step.num_prefill_tokens);
  unread_prefill_tokens_ += step.num_prefill_tokens;
  if (step.samples()) add_unread(times, decodes_only);
}

void Engine::Impl::add_unread(int times, bool decodes_only) {
  steps_done_ += times;
  clock_.timing.steps_run += static_cast<std::uint64_t>(times);
  unread_steps_.insert(unread_steps_.end(), static_cast<std::size_t>(times), decodes_only);
}

template <typename Wait>
auto Engine::Impl::wait_for_device(const Wait& wait) const {
  try {
    return wait();
  } catch (const Error& error) {
    fail(error.code(), "{}: {}", in_flight_, error.what());
  }
}

bool Engine::Impl::start_device_loop(const ScheduledStep& step) {
  QUERN_CHECK(unread_steps_.empty());
  const BatchView batch = runner_.write_batch(step);
  const auto num_seqs = static_cast<int>(step.runs.size());  // without padding
  in_flight_ = fmt::format("device loop of {} sequences", num_seqs);
  LoopControl control;
  control.steps_left =
      std::min({remaining_steps(step).second, plan_.ring_capacity, runner_.max_loop_steps(batch)});
  // With waiting requests the loop ends once a row is free, else at half the batch: a smaller
  // bucket is faster.
  control.stop_at_running = scheduler_.waiting().empty() ? num_seqs / 2 : num_seqs - 1;
  try {
    device_loop_.start(batch, control);
  } catch (const Error& error) {
    if (plan_.options.device_loop == DeviceLoopChoice::require) throw;
    log(LogLevel::warning, "the host takes over the decode loop: {}", error.what());
    device_loop_fails_ = true;
    return false;
  }
  clock_.timing.loop = LoopRunner::device;
  return true;
}

bool Engine::Impl::take_loop_tokens() {
  if (!wait_for_device([&] { return device_loop_.wait_for_step(patience()); })) return false;
  const int count = ring_.num_unread();
  for (const auto& sequence : scheduler_.running()) sequence->launched += count;
  add_unread(count, true);
  take_tokens();
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
  if (unread_steps_.empty()) return false;
  if (plan_.device_loop || schedule_.is_check(steps_done_) ||
      std::ssize(unread_steps_) == plan_.ring_capacity) {
    return true;
  }
  const auto& running = scheduler_.running();
  const auto exhausted = [](const auto& sequence) { return sequence->exhausted(); };
  return scheduler_.waiting().empty() ? std::all_of(running.begin(), running.end(), exhausted)
                                      : std::any_of(running.begin(), running.end(), exhausted);
}

std::chrono::milliseconds Engine::Impl::patience() const {
  return kHangTimeout + unread_prefill_tokens_ * kHangTimeoutPerPromptToken;
}

void Engine::Impl::check() {
  wait_for_device([&] {
    // First wait for the last step's tokens: that wait has a watchdog, the driver's has none.
    const auto num_unread = static_cast<int>(unread_steps_.size());
    backend_->wait_until(ring_.published(), ring_.position_of(num_unread), patience());
    backend_->wait();
  });
  unread_prefill_tokens_ = 0;
  QUERN_CHECK(ring_.num_unread() == std::ssize(unread_steps_), "{} steps published, {} launched",
              ring_.num_unread(), unread_steps_.size());
  take_tokens();
}

void Engine::Impl::take_tokens() {
  for (const auto& sequence : scheduler_.running()) {
    for (std::size_t i = 0; i < unread_steps_.size(); ++i) {
      TokenLogprobs token = ring_.token(static_cast<int>(i), sequence->state_row,
                                        sequence->sampling.num_top_logprobs);
      if (token.id == kNoRingToken || sequence->output.finished()) continue;
      if (token.id < 0) {
        sequence->output.fail(sample_error_text(token.id, *plan_.options.dtype));
        continue;
      }
      sequence->accept(std::move(token));
      if (unread_steps_[i]) ++clock_.timing.decode_tokens;
      clock_.first_token();
    }
  }
  ring_.consume(static_cast<int>(unread_steps_.size()));
  unread_steps_.clear();
  ++clock_.timing.stop_checks;
}

void Engine::Impl::apply_cancellations() {
  const std::unordered_set<RequestId> ids = cancellations_.take();
  if (ids.empty()) return;
  const auto is_cancelled = [&](const auto& sequence) { return ids.contains(sequence->id); };
  const auto cancel_all = [&](const auto& sequences) {
    for (const auto& sequence : sequences) {
      if (is_cancelled(sequence)) sequence->output.finish(FinishReason::cancelled);
    }
  };
  cancel_all(scheduler_.waiting());
  const auto& running = scheduler_.running();
  if (std::none_of(running.begin(), running.end(), is_cancelled)) return;
  settle();
  cancel_all(running);
}

std::vector<Update> Engine::Impl::collect_updates() {
  std::vector<Update> updates;
  const auto add_update = [&](Sequence& sequence) {
    if (sequence.output.has_update()) updates.push_back(sequence.output.take_update());
  };
  const auto finished = scheduler_.take_finished();
  for (const auto& sequence : finished) {
    add_update(*sequence);
    cancellations_.erase(sequence->id);
    results_.add(sequence->output.take_result());
  }
  for (const auto& sequence : scheduler_.running()) add_update(*sequence);
  return updates;
}

void Engine::Impl::forget(RequestId id) {
  scheduler_.remove(id);
  cancellations_.erase(id);
}

void Engine::Impl::logits(std::span<const std::int32_t> token_ids, std::size_t first,
                          const LogitsSink& sink) {
  if (busy()) fail(ErrorCode::invalid_argument, "logits: expected no waiting or running request");
  check_prompt_ids(token_ids, model_.config.vocab_size, plan_.limits.max_seq_len);
  const auto num_tokens = static_cast<int>(token_ids.size());
  if (first >= token_ids.size()) {
    fail(ErrorCode::invalid_argument, "logits: expected a position below {}, got {}", num_tokens,
         first);
  }

  Request request;
  request.prompt_ids.assign(token_ids.begin(), token_ids.end());
  request.sampling.greedy = true;
  scheduler_.add(make_sequence(next_id_++, request, model_, plan_.limits.max_seq_len));
  try {
    admit();
    Sequence& sequence = *scheduler_.running().front();
    for (int begin = 0; begin < num_tokens; begin += plan_.limits.max_tokens_per_step) {
      const int q_len = std::min(plan_.limits.max_tokens_per_step, num_tokens - begin);
      ScheduledStep step;
      step.runs.push_back({&sequence, begin, q_len, false, false});
      const int first_row = std::clamp(static_cast<int>(first) - begin, 0, q_len);
      runner_.run_logits(runner_.arrays().write_batch(step), first_row, q_len - first_row, sink);
    }
  } catch (...) {
    scheduler_.clear();
    throw;
  }
  scheduler_.clear();
}

StepCost Engine::Impl::step_cost(const StepSizes& sizes) const {
  NodeCost total;
  for (const Node& node : model_.graph.nodes) {
    total += node_cost(model_.graph, node, {runner_.weights(), plan_.kv_format}, sizes);
  }
  return {total.weight_bytes, total.kv_bytes, total.activation_bytes, total.flops};
}

Timing Engine::Impl::timing() const {
  Timing timing = clock_.snapshot();
  timing.host_syncs = backend_->num_waits() - waits_of_loading_;
  const LaunchCounts& counts = runner_.decode_counts();
  timing.launches_per_step = counts.launches;
  timing.library_calls_per_step = counts.library_calls;
  timing.recording_bytes = runner_.recording_bytes();
  if (backend_->device().kind == DeviceKind::cpu) {
    timing.launches_per_step = model_.graph.nodes.size();
  }
  timing.peak_memory_bytes = backend_->peak_memory_bytes();
  return timing;
}

Profile Engine::Impl::profile() const {
  if (runner_.profiler() == nullptr) {
    fail(ErrorCode::invalid_argument, "profile: expected an engine with the profile option");
  }
  return runner_.profiler()->profile();
}

}  // namespace quern
