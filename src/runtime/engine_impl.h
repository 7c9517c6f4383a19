#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/system.h"
#include "graph/node_cost.h"
#include "quern/benchmark.h"
#include "quern/engine.h"
#include "runtime/load/backend_choice.h"
#include "runtime/load/engine_plan.h"
#include "runtime/load/opened_model.h"
#include "runtime/output/ring_reader.h"
#include "runtime/run/device_loop.h"
#include "runtime/run/model_runner.h"
#include "runtime/run/step_clock.h"
#include "runtime/schedule/check_schedule.h"
#include "runtime/schedule/scheduler.h"

namespace quern {

/// What stands behind Engine: the scheduler says what runs, the runner runs it, the ring reader
/// brings the tokens back.
class QUERN_LOCAL Engine::Impl {
 public:
  /// The model's graph depends on the options, which must be resolved.
  Impl(const ModelSource& model, const EngineOptions& resolved);

  RequestId submit(const Request& request);
  std::vector<Update> step();
  bool busy() const { return !scheduler_.idle(); }
  void cancel(RequestId id);
  std::optional<Result> take_result(RequestId id);
  /// Drops a request that has not been stepped since it was submitted.
  void forget(RequestId id);
  void logits(std::span<const std::int32_t> token_ids, std::size_t first, const LogitsSink& sink);

  const OpenedModel& model() const { return model_; }
  const ModelInfo& info() const { return info_; }
  const EnginePlan& plan() const { return plan_; }
  Timing timing() const;
  Backend& backend() { return *backend_; }
  StepCost step_cost(const StepSizes& sizes) const;
  Profile profile() const;

 private:
  void run_step();
  void admit();
  void run_scheduled(const ScheduledStep& step);
  /// Starts a loop of these runs, all decoding, that the device runs by itself; false where it
  /// cannot.
  bool start_device_loop(const ScheduledStep& step);
  /// Waits for a step of the running loop and takes what is there; false when the loop has ended.
  bool take_loop_tokens();
  /// The same; ends the loop where only the host knows that it must.
  bool follow_device_loop();
  /// Takes the tokens of a running loop to its end.
  void drain_device_loop();
  /// How many steps of these runs, all decoding, may follow each other before the host must look.
  int decode_steps_until_check(const ScheduledStep& step) const;
  void launch(const ScheduledStep& step, int times);
  void add_unread(int times, bool decodes_only);
  /// True when the rule, a reached limit or a full ring asks the host to look.
  bool check_due() const;
  void check();
  /// Brings the unread steps' tokens to their sequences.
  void take_tokens();
  /// Calls `wait`; an error of it is told with what was under way.
  template <typename Wait>
  auto wait_for_device(const Wait& wait) const;
  /// Ends everything after an error, also on the device.
  void abandon_step();
  void apply_cancellations();
  std::vector<Update> collect_updates();

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

  RequestId next_id_ = 1;
  std::int64_t steps_done_ = 0;     ///< sampling steps since the engine was last idle
  std::vector<bool> unread_steps_;  ///< sampling steps not looked at yet; true: decode alone
  std::string under_way_;           ///< what was launched last, for errors
  std::uint64_t waits_of_loading_ = 0;
  bool device_loop_fails_ = false;  ///< it was tried, and the host has taken over
  std::map<RequestId, Result> results_;

  std::mutex cancel_mutex_;
  std::vector<RequestId> cancelled_;
};

}  // namespace quern
