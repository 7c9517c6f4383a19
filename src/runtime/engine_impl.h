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
#include "quern/engine.h"
#include "runtime/backend_choice.h"
#include "runtime/check_schedule.h"
#include "runtime/engine_plan.h"
#include "runtime/model_runner.h"
#include "runtime/opened_model.h"
#include "runtime/ring_reader.h"
#include "runtime/scheduler.h"
#include "runtime/step_clock.h"

namespace quern {

/// What stands behind Engine: the scheduler says what runs, the runner runs it, the ring reader
/// brings the tokens back.
class QUERN_LOCAL Engine::Impl {
 public:
  Impl(const ModelSource& model, const EngineOptions& options);

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

 private:
  struct ResolvedTag {};
  Impl(const ModelSource& model, const EngineOptions& resolved, ResolvedTag tag);

  void run_step();
  void admit();
  /// How many steps of these runs, all decoding, may follow each other before the host must look.
  int decode_steps_until_check(const ScheduledStep& step) const;
  void launch(const ScheduledStep& step, int times);
  /// True when the rule, a reached limit or a full ring asks the host to look.
  bool check_due() const;
  void check();
  void apply_cancellations();
  std::vector<Update> collect_updates();

  StepClock::Time load_begin_ = StepClock::now();
  OpenedModel model_;
  ModelInfo info_;
  std::unique_ptr<Backend> backend_;
  EnginePlan plan_;
  ModelRunner runner_;
  RingReader ring_;
  Scheduler scheduler_;
  CheckSchedule schedule_;
  StepClock clock_;

  RequestId next_id_ = 1;
  std::int64_t steps_done_ = 0;     ///< sampling steps since the engine was last idle
  std::vector<bool> unread_steps_;  ///< sampling steps not looked at yet; true: decode alone
  std::map<RequestId, Result> results_;

  std::mutex cancel_mutex_;
  std::vector<RequestId> cancelled_;
};

}  // namespace quern
