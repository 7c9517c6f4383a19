#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/system/system.h"
#include "graph/plan/node_cost.h"
#include "quern/benchmark.h"
#include "quern/engine.h"
#include "runtime/engine_serving.h"
#include "runtime/load/backend_choice.h"
#include "runtime/load/engine_plan.h"
#include "runtime/load/opened_model.h"
#include "runtime/output/result_store.h"
#include "runtime/output/ring_reader.h"
#include "runtime/output/unread_steps.h"
#include "runtime/request/cancellations.h"
#include "runtime/run/device_loop.h"
#include "runtime/run/model_runner.h"
#include "runtime/run/step_clock.h"
#include "runtime/schedule/check_schedule.h"
#include "runtime/schedule/scheduler.h"

namespace quern {

/// The implementation of Engine: the scheduler decides what runs, the runner executes it, the ring
/// reader reads tokens back.
class QUERN_LOCAL Engine::Impl {
 public:
  /// `options` must be resolved: the model's graph depends on them.
  Impl(const ModelSource& model, const EngineOptions& resolved);
  /// On a backend other than the options' own, for tests.
  Impl(const ModelSource& model, const EngineOptions& resolved, std::unique_ptr<Backend> backend);

  RequestId submit(const Request& request) { return submit(prepare(request, 0)); }
  /// Checks and tokenizes a request. Thread-safe: it reads only what is fixed at load.
  PreparedRequest prepare(const Request& request, int priority);
  RequestId submit(PreparedRequest request);
  void watch_arrivals(std::function<bool()> arrives) { arrives_ = std::move(arrives); }
  std::vector<Update> step();
  bool busy() const { return !scheduler_.idle(); }
  void cancel(RequestId id) { cancellations_.cancel(id); }
  std::optional<Result> take_result(RequestId id) { return results_.take(id); }
  /// Removes a request for which no step was launched yet.
  void forget(RequestId id);
  /// Removes requests in any state and frees what they hold, at once and without results.
  void discard(std::span<const RequestId> ids);
  void logits(std::span<const std::int32_t> token_ids, std::size_t first, const LogitsSink& sink);

  const OpenedModel& model() const { return model_; }
  const ModelInfo& info() const { return info_; }
  const EnginePlan& plan() const { return plan_; }
  Timing timing() const;
  EngineUse use() const;
  const std::vector<Admission>& admissions() const { return admissions_; }
  const std::optional<Error>& step_error() const { return step_error_; }
  Backend& backend() { return *backend_; }
  StepCost step_cost(const StepSizes& sizes) const;
  Profile profile() const;
  StepTimes take_step_times();

 private:
  void run_step();
  void admit();
  /// Gives the step's sequences blocks for their next tokens, if need be by preempting others, and
  /// schedules again then. False where results of launched steps must be read first.
  bool make_room(ScheduledStep& step);
  /// See Scheduler::grow(); the device gets the new entries of block tables.
  int grow(const ScheduledStep& step, int num_steps);
  void run_scheduled(const ScheduledStep& step);
  /// Whether the device is to run these runs, all of them in decode, until something must change.
  bool wants_device_loop(const ScheduledStep& step) const;
  /// Starts a device loop over these runs, all of them in decode; false where that is not possible.
  bool start_device_loop(const ScheduledStep& step);
  /// Waits for a step of the running loop and reads it; false when the loop has ended.
  bool take_loop_tokens();
  /// The same; ends the loop for reasons that only the host knows.
  bool follow_device_loop();
  /// Reads the tokens of a running loop to its end.
  void drain_device_loop();
  /// Number of steps of these runs, all of them in decode, to launch before the next stop check.
  int decode_steps_until_check(const ScheduledStep& step) const;
  void launch(const ScheduledStep& step, int times);
  /// Adds the log-probabilities of the prompt tokens that follow those of the prefill step launched
  /// last, for sequences that want them; waits for the step then.
  void take_prompt_logprobs(const ScheduledStep& step, const BatchView& batch);
  /// Launches decode steps, all of which the device runs.
  void launch_decode(const BatchView& batch, int times);
  /// Calls `start`, which has the device run a recorded loop; false where it cannot and the host
  /// takes over from here on.
  template <typename Start>
  bool try_device_loop(const Start& start);
  void add_unread(int times, bool decodes_only);
  /// True when the schedule, a reached limit or a full ring requires a stop check.
  bool check_due() const;
  void check();
  /// Whether steps are the host's to launch: prompts are in prefill or waiting.
  bool host_goes_on() const;
  /// Where the host runs ahead: reads the oldest unit's tokens once enough is in flight behind it,
  /// or where nothing can be launched before they are known.
  void read_behind(bool launched);
  /// What Sample wrote to the ring for a beam search's rows in a step: a row for each beam, or one
  /// for all. An id below 0 is a SampleError.
  std::vector<TokenLogprobs> read_beam_rows(const Sequence& sequence, int unread_step) const;
  /// The candidates for a search's next beams, from the tokens that Sample listed; nullopt where
  /// they do not decide it.
  std::optional<std::vector<BeamCandidate>> choose_listed(const Sequence& sequence,
                                                          std::span<const TokenLogprobs> rows);
  /// The same, from all logits of the step launched last, which are copied to the host.
  std::vector<BeamCandidate> choose_from_logits(const Sequence& sequence,
                                                std::span<const TokenLogprobs> rows);
  /// Chooses the next beams and has the device go on with them.
  void take_beam_tokens(Sequence& sequence, int unread_step);
  void continue_beams(Sequence& sequence);
  /// The output of a search that is cancelled: its best running beam so far.
  static void take_best_beam(Sequence& sequence);
  /// Appends the oldest `count` unread steps' tokens to their sequences.
  void take_tokens(int count);
  /// Calls `wait`; adds to its error what was in flight.
  template <typename Wait>
  auto wait_for_device(const Wait& wait) const;
  /// Watchdog time: how long the device may publish no step before it is reported as hung.
  std::chrono::milliseconds patience() const;
  /// Ends a device loop and appends all sampled tokens to their sequences: afterwards rows and
  /// blocks may change owners.
  void settle();
  /// Ends all requests after an error, also on the device: each Result has the reason.
  void abandon_step(const std::string& error);
  void apply_cancellations();
  /// Ends a device loop as soon as a waiting request could be admitted.
  void stop_loop_for_admission();
  std::vector<Update> collect_updates();
  /// Adds the last updates of a finished sequence, and its request's result if it was the last.
  void hand_out(Sequence& sequence, std::vector<Update>& updates);

  StepClock::Time load_begin_ = StepClock::now();
  OpenedModel model_;
  ModelInfo info_;
  std::unique_ptr<Backend> backend_;
  EnginePlan plan_;
  ModelRunner runner_;
  RingReader ring_;
  DeviceLoop device_loop_;
  Scheduler scheduler_;
  CheckSchedule schedule_;
  StepClock clock_;

  std::atomic<RequestId> next_id_ = 1;
  std::vector<Admission> admissions_;  ///< of the latest step
  std::optional<Error> step_error_;    ///< why the latest step failed as a whole
  std::uint64_t prefix_queries_ = 0, prefix_hits_ = 0;
  std::int64_t steps_done_ = 0;  ///< sampling steps since the engine was last idle
  UnreadSteps unread_;
  std::vector<float> beam_log_probs_;  ///< of the latest choose_from_logits(); keeps its memory
  std::vector<float> beam_scratch_;    ///< of process_list()
  std::string in_flight_;              ///< the latest launch, for errors
  bool waits_for_prefill_ = false;     ///< whether the time of this step() counts as prefill
  std::uint64_t waits_of_loading_ = 0;
  std::function<bool()> arrives_;   ///< see watch_arrivals()
  bool device_loop_fails_ = false;  ///< a launch failed; the host has taken over
  ResultStore results_{kMaxWaitingResults};
  Cancellations cancellations_;
};

}  // namespace quern
