#include "runtime/engine_impl.h"

#include <algorithm>
#include <exception>
#include <new>
#include <utility>

#include "backend/trace_range.h"
#include "base/error.h"
#include "runtime/load/key_outliers.h"
#include "runtime/request/answers.h"
#include "runtime/request/request_check.h"

namespace quern {
namespace {

/// "std::bad_alloc" would tell a person nothing.
const char* reason_of(const std::exception& error) {
  return dynamic_cast<const std::bad_alloc*>(&error) != nullptr ? "out of memory" : error.what();
}

ErrorCode code_of(const std::exception& error) {
  if (const auto* own = dynamic_cast<const Error*>(&error)) return own->code();
  return dynamic_cast<const std::bad_alloc*>(&error) != nullptr ? ErrorCode::out_of_memory
                                                                : ErrorCode::internal;
}

}  // namespace

Engine::Impl::Impl(const ModelSource& model, const EngineOptions& resolved)
    : Impl(model, resolved, nullptr) {}

Engine::Impl::Impl(const ModelSource& model, const EngineOptions& resolved,
                   std::unique_ptr<Backend> backend)
    : model_(open_model(model, resolved)),
      info_(model_info(model_)),
      backend_(backend != nullptr ? std::move(backend) : make_backend(resolved)),
      plan_(plan_engine(model_, *backend_, resolved)),
      runner_(model_, plan_, *backend_),
      ring_(runner_.arrays().ring()),
      device_loop_(*backend_, runner_, ring_),
      scheduler_(plan_.limits, plan_.options.kv_reservation.value_or(KvReservation::full)),
      schedule_(plan_.options.skip_steps, plan_.options.check_interval) {
  plan_.options.on_load = nullptr;
  warn_of_random_weights(model_);
  warn_of_key_outliers(model_.graph, runner_.weights(), *backend_, plan_.kv_format);
  backend_->wait();
  waits_of_loading_ = backend_->num_waits();
  clock_.timing.load_ms = StepClock::ms_since(load_begin_);
}

std::vector<Update> Engine::Impl::step() {
  results_.trim();
  // A running device loop goes on while the caller handles updates.
  const auto begin = device_loop_.running() ? clock_.last_step_end() : StepClock::now();
  waits_for_prefill_ = false;
  admissions_.clear();
  step_error_.reset();
  try {
    const TraceRange range(*backend_, "step");
    run_step();
  } catch (const std::exception& error) {
    step_error_.emplace(code_of(error), reason_of(error));
    abandon_step(step_error_->what());
  }
  clock_.add_step(begin, waits_for_prefill_);
  std::vector<Update> updates = collect_updates();
  stop_loop_for_admission();
  return updates;
}

void Engine::Impl::stop_loop_for_admission() {
  if (device_loop_.running() && scheduler_.can_admit(true)) device_loop_.request_stop();
}

void Engine::Impl::abandon_step(const std::string& error) {
  device_loop_.abandon();
  try {
    backend_->wait();
  } catch (const Error&) {
    // The step's own error is the one to report.
  }
  unread_.clear();
  ring_.skip_unread();
  scheduler_.forget_prefixes();
  const auto fail_all = [&](const auto& sequences) {
    for (const auto& sequence : sequences) sequence->output.fail(error);
  };
  fail_all(scheduler_.running());
  fail_all(scheduler_.waiting());
}

void Engine::Impl::settle() {
  device_loop_.request_stop();
  drain_device_loop();
  if (!unread_.empty()) check();
}

void Engine::Impl::discard(std::span<const RequestId> ids) {
  try {
    settle();
  } catch (const std::exception& error) {
    abandon_step(reason_of(error));
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
  if (plan_.runs_ahead && !unread_.empty() && !host_goes_on()) return check();
  ScheduledStep step = scheduler_.schedule();
  if (!make_room(step)) return check();  // what has ended may make room
  if (!step.runs.empty()) run_scheduled(step);
  // The host chooses beams before their next step.
  const bool chooses_beams = scheduler_.has_beams() && !unread_.empty();
  if (plan_.runs_ahead && !chooses_beams) {
    read_behind(!step.runs.empty());
  } else if (chooses_beams || check_due()) {
    check();
  }
}

bool Engine::Impl::make_room(ScheduledStep& step) {
  while (grow(step, 1) == 0) {
    if (!unread_.empty()) return false;
    runner_.arrays().read_mirostat(scheduler_.victim());
    scheduler_.preempt();
    step = scheduler_.schedule();
  }
  return true;
}

int Engine::Impl::grow(const ScheduledStep& step, int num_steps) {
  const int reached = scheduler_.grow(step, num_steps);
  for (const auto& [sequence, index] : scheduler_.take_grown()) {
    runner_.arrays().write_block(*sequence, index);
  }
  return reached;
}

void Engine::Impl::run_scheduled(const ScheduledStep& step) {
  if (step.num_prefill_tokens > 0) return launch(step, 1);
  if (wants_device_loop(step)) {
    if (!unread_.empty()) return check();  // a loop begins with what is running
    if (start_device_loop(step)) {
      follow_device_loop();
      return;
    }
  }
  const bool one = plan_.runs_ahead || scheduler_.has_beams();
  launch(step, one ? 1 : grow(step, decode_steps_until_check(step)));
}

void Engine::Impl::admit() {
  const std::int64_t next_step = ring_.position_of(unread_.num_steps());
  scheduler_.release_exhausted(next_step);
  for (const Sequence* sequence : scheduler_.admit(next_step)) {
    runner_.arrays().write_sequence(*sequence, initial_rope_alpha(model_, *sequence));
    if (sequence->num_preemptions > 0) continue;  // it was counted
    clock_.timing.cached_prompt_tokens += static_cast<std::uint64_t>(sequence->prefilled);
    admissions_.push_back({sequence->id, StepClock::now()});
    if (plan_.options.prefix_cache && sequence->prefix) {
      prefix_queries_ += static_cast<std::uint64_t>(sequence->prompt_len());
      prefix_hits_ += static_cast<std::uint64_t>(sequence->prefilled);
    }
  }
}

void Engine::Impl::launch(const ScheduledStep& step, int times) {
  const BatchView batch = runner_.write_batch(step);
  int logit_row = 0;
  for (const ScheduledRun& run : step.runs) {
    if (run.sequence->beams && run.beam == 0) run.sequence->beams->logit_row = logit_row;
    logit_row += run.samples ? 1 : 0;
  }
  const bool decodes_only = step.num_prefill_tokens == 0;
  in_flight_ = fmt::format("step of {} sequences, {} tokens", step.runs.size(),
                           step.num_decode + step.num_prefill_tokens);
  if (decodes_only) {
    launch_decode(batch, times);
  } else {
    runner_.run(batch);
    take_prompt_logprobs(step, batch);
    waits_for_prefill_ = true;
  }
  scheduler_.launched(step, times);
  clock_.timing.prefill_tokens += static_cast<std::uint64_t>(step.num_prefill_tokens);
  unread_.add_prompt_tokens(step.num_prefill_tokens);
  if (step.samples()) add_unread(times, decodes_only);
}

void Engine::Impl::add_unread(int times, bool decodes_only) {
  steps_done_ += times;
  clock_.timing.steps_run += static_cast<std::uint64_t>(times);
  unread_.add(times, decodes_only);
}

void Engine::Impl::apply_cancellations() {
  const std::unordered_set<RequestId> ids = cancellations_.take();
  if (ids.empty()) return;
  const auto is_cancelled = [&](const auto& sequence) { return ids.contains(sequence->id); };
  const auto cancel_all = [&](const auto& sequences) {
    for (const auto& sequence : sequences) {
      if (!is_cancelled(sequence)) continue;
      if (sequence->beams) take_best_beam(*sequence);
      sequence->output.finish(FinishReason::cancelled);
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
  for (const auto& sequence : scheduler_.take_finished()) hand_out(*sequence, updates);
  for (const auto& sequence : scheduler_.running()) {
    if (!sequence->output.has_update()) continue;
    updates.push_back(sequence->output.take_update());
    updates.back().sequence = sequence->index;
  }
  return updates;
}

void Engine::Impl::hand_out(Sequence& sequence, std::vector<Update>& updates) {
  std::vector<SequenceOutput*> outputs = {&sequence.output};
  for (SequenceOutput& output : sequence.more_beams) outputs.push_back(&output);
  if (sequence.beams && sequence.beams->num_returned > 1) {
    sequence.group = std::make_shared<AnswerGroup>();
    sequence.group->num_live = static_cast<int>(outputs.size());
    sequence.group->results.resize(outputs.size());
  }
  AnswerGroup* group = sequence.group.get();
  int index = sequence.index;
  for (SequenceOutput* output : outputs) {
    Update& update = updates.emplace_back(output->take_update());
    update.sequence = index;
    Result result = output->take_result();
    if (group != nullptr) {
      group->results[static_cast<std::size_t>(index)] = std::move(result);
      if (--group->num_live > 0) {
        ++index;
        continue;
      }
      result = merged_result(*group);
    }
    update.last = true;
    cancellations_.erase(sequence.id);
    results_.add(std::move(result));
    ++index;
  }
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
  timing.dependent_launches_per_step = counts.dependent_launches;
  timing.library_calls_per_step = counts.library_calls;
  timing.recording_bytes = runner_.recording_bytes();
  if (backend_->device().kind == DeviceKind::cpu) {
    timing.launches_per_step = model_.graph.nodes.size();
  }
  timing.peak_memory_bytes = backend_->peak_memory_bytes();
  return timing;
}

StepTimes Engine::Impl::take_step_times() {
  if (runner_.step_timer() == nullptr) {
    fail(ErrorCode::invalid_argument,
         "take_step_times: expected an engine with the time_steps option");
  }
  return runner_.step_timer()->take();
}

Profile Engine::Impl::profile() const {
  if (runner_.profiler() == nullptr) {
    fail(ErrorCode::invalid_argument, "profile: expected an engine with the profile option");
  }
  return runner_.profiler()->profile();
}

}  // namespace quern
