#include "runtime/engine_impl.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "runtime/request_check.h"

namespace quern {

// EngineOptions are resolved before the model is opened, since its graph depends on them.
Engine::Impl::Impl(const ModelSource& model, const EngineOptions& options)
    : Impl(model, resolve_options(options), ResolvedTag{}) {}

Engine::Impl::Impl(const ModelSource& model, const EngineOptions& resolved, ResolvedTag)
    : model_(open_model(model, resolved)),
      info_(model_info(model_)),
      backend_(make_backend(resolved)),
      plan_(plan_engine(model_, *backend_, resolved)),
      runner_(model_, plan_, *backend_),
      ring_(*backend_, runner_.arrays().ring()),
      scheduler_(plan_.limits),
      schedule_(plan_.options.skip_steps, plan_.options.check_interval) {
  warn_of_random_weights(model_);
  clock_.timing.load_ms = StepClock::ms_since(load_begin_);
}

RequestId Engine::Impl::submit(const Request& request) {
  auto sequence = make_sequence(next_id_, request, model_, plan_.limits.max_seq_len);
  if (scheduler_.idle()) {
    steps_done_ = 0;
    clock_.started();
  }
  scheduler_.add(std::move(sequence));
  return next_id_++;
}

std::vector<Update> Engine::Impl::step() {
  const auto begin = StepClock::now();
  const auto prefilled = clock_.timing.prefill_tokens;
  try {
    run_step();
  } catch (...) {
    scheduler_.clear();
    unread_steps_.clear();
    ring_.skip_unread();
    throw;
  }
  clock_.add_step(StepClock::ms_since(begin), clock_.timing.prefill_tokens > prefilled);
  return collect_updates();
}

void Engine::Impl::run_step() {
  apply_cancellations();
  admit();
  const ScheduledStep step = scheduler_.schedule();
  if (!step.runs.empty()) {
    launch(step, step.num_prefill_tokens > 0 ? 1 : decode_steps_until_check(step));
  }
  if (check_due()) check();
}

void Engine::Impl::admit() {
  for (const Sequence* sequence : scheduler_.admit()) {
    runner_.arrays().write_sequence(*sequence, initial_rope_alpha(model_, *sequence));
  }
}

int Engine::Impl::decode_steps_until_check(const ScheduledStep& step) const {
  const auto remaining = [](const ScheduledRun& run) {
    return run.sequence->max_tokens - run.sequence->launched;
  };
  const auto by_remaining = [&](const ScheduledRun& a, const ScheduledRun& b) {
    return remaining(a) < remaining(b);
  };
  const auto [shortest, longest] =
      std::minmax_element(step.runs.begin(), step.runs.end(), by_remaining);
  // Requests that wait for a row get the first one whose owner is known to be at its limit.
  const std::int64_t limit = remaining(scheduler_.waiting().empty() ? *longest : *shortest);
  const std::int64_t room = plan_.ring_capacity - std::ssize(unread_steps_);
  return static_cast<int>(std::min({limit, room, schedule_.steps_until_check(steps_done_)}));
}

void Engine::Impl::launch(const ScheduledStep& step, int times) {
  const BatchView batch = runner_.arrays().write_batch(step);
  const bool decodes_only = step.num_prefill_tokens == 0;
  if (decodes_only) {
    runner_.replay_decode(batch, times);
  } else {
    runner_.run(batch);
  }
  scheduler_.launched(step, times);
  clock_.timing.prefill_tokens += static_cast<std::uint64_t>(step.num_prefill_tokens);
  if (!step.samples()) return;
  steps_done_ += times;
  clock_.timing.steps_run += static_cast<std::uint64_t>(times);
  unread_steps_.insert(unread_steps_.end(), static_cast<std::size_t>(times), decodes_only);
}

bool Engine::Impl::check_due() const {
  if (unread_steps_.empty()) return false;
  if (schedule_.is_check(steps_done_) || std::ssize(unread_steps_) == plan_.ring_capacity) {
    return true;
  }
  const auto& running = scheduler_.running();
  const auto exhausted = [](const auto& sequence) { return sequence->exhausted(); };
  return scheduler_.waiting().empty() ? std::all_of(running.begin(), running.end(), exhausted)
                                      : std::any_of(running.begin(), running.end(), exhausted);
}

void Engine::Impl::check() {
  const auto& running = scheduler_.running();
  const bool with_logprobs = std::any_of(running.begin(), running.end(), [](const auto& sequence) {
    return sequence->sampling.num_top_logprobs >= 0;
  });
  ring_.read(static_cast<int>(unread_steps_.size()), with_logprobs);
  for (const auto& sequence : running) {
    for (std::size_t i = 0; i < unread_steps_.size(); ++i) {
      TokenLogprobs token = ring_.token(static_cast<int>(i), sequence->state_row,
                                        sequence->sampling.num_top_logprobs);
      if (token.id < 0 || sequence->output.finished()) continue;
      sequence->output.accept(std::move(token));
      if (unread_steps_[i]) ++clock_.timing.decode_tokens;
      clock_.first_token();
    }
  }
  unread_steps_.clear();
  ++clock_.timing.stop_checks;
  ++clock_.timing.host_syncs;
}

void Engine::Impl::cancel(RequestId id) {
  const std::lock_guard lock(cancel_mutex_);
  cancelled_.push_back(id);
}

void Engine::Impl::apply_cancellations() {
  std::vector<RequestId> ids;
  {
    const std::lock_guard lock(cancel_mutex_);
    ids.swap(cancelled_);
  }
  if (ids.empty()) return;
  // What a sequence has already sampled is read before its row can go to another.
  if (!unread_steps_.empty()) check();
  const auto cancel_all = [&](const auto& sequences) {
    for (const auto& sequence : sequences) {
      if (std::find(ids.begin(), ids.end(), sequence->id) != ids.end()) {
        sequence->output.finish(FinishReason::cancelled);
      }
    }
  };
  cancel_all(scheduler_.running());
  cancel_all(scheduler_.waiting());
}

std::vector<Update> Engine::Impl::collect_updates() {
  std::vector<Update> updates;
  const auto add_update = [&](Sequence& sequence) {
    if (sequence.output.has_update()) updates.push_back(sequence.output.take_update());
  };
  const auto finished = scheduler_.take_finished();
  for (const auto& sequence : finished) {
    add_update(*sequence);
    results_.emplace(sequence->id, sequence->output.take_result());
  }
  for (const auto& sequence : scheduler_.running()) add_update(*sequence);
  return updates;
}

std::optional<Result> Engine::Impl::take_result(RequestId id) {
  auto node = results_.extract(id);
  if (node.empty()) return std::nullopt;
  return std::move(node.mapped());
}

void Engine::Impl::forget(RequestId id) { scheduler_.remove_waiting(id); }

void Engine::Impl::logits(std::span<const std::int32_t> token_ids, std::size_t first,
                          const LogitsSink& sink) {
  if (busy()) fail(ErrorCode::invalid_argument, "logits: expected no request to be under way");
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

Timing Engine::Impl::timing() const {
  Timing timing = clock_.snapshot();
  if (backend_->device().kind == DeviceKind::cpu) {
    timing.launches_per_step = model_.graph.nodes.size();
    timing.peak_memory_bytes = peak_resident_bytes();
  } else {
    timing.peak_memory_bytes = plan_.memory.total_bytes();
  }
  return timing;
}

}  // namespace quern
