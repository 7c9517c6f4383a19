#include "runtime/engine_serving.h"

#include <utility>

#include "runtime/engine_access.h"
#include "runtime/load/device_scope.h"
#include "runtime/request/answers.h"
#include "runtime/request/request_check.h"

namespace quern {

PreparedRequest Engine::Impl::prepare(const Request& request, int priority) {
  PreparedRequest prepared;
  prepared.id = next_id_++;
  prepared.sequences = make_sequences(prepared.id, request, model_, plan_.limits);
  set_prefix_use(prepared.sequences, model_, plan_.kv_format, plan_.options.prefix_cache);
  for (const auto& sequence : prepared.sequences) {
    sequence->priority = priority;
    const PrefixUse use = prefix_use(model_, *sequence, plan_.kv_format);
    sequence->is_recomputable = use.max_tokens == PrefixUse{}.max_tokens;
  }
  return prepared;
}

RequestId Engine::Impl::submit(PreparedRequest request) {
  if (scheduler_.idle()) {
    steps_done_ = 0;
    clock_.started();
  }
  for (auto& sequence : request.sequences) scheduler_.add(std::move(sequence));
  cancellations_.add(request.id);
  stop_loop_for_admission();
  return request.id;
}

EngineUse Engine::Impl::use() const {
  EngineUse use;
  use.num_running = scheduler_.running().size();
  use.num_waiting = scheduler_.waiting().size();
  use.num_free_rows = scheduler_.num_free_rows();
  use.num_blocks = scheduler_.blocks().num_blocks();
  use.num_held_blocks = use.num_blocks - scheduler_.blocks().num_free();
  use.num_preemptions = scheduler_.num_preemptions();
  use.prefix_queries = prefix_queries_;
  use.prefix_hits = prefix_hits_;
  return use;
}

PreparedRequest prepare(Engine& engine, const Request& request, int priority) {
  return EngineAccess::impl(engine).prepare(request, priority);
}

RequestId submit(Engine& engine, PreparedRequest request) {
  const DeviceScope scope(engine.options());
  return EngineAccess::impl(engine).submit(std::move(request));
}

void watch_arrivals(Engine& engine, std::function<bool()> arrives) {
  EngineAccess::impl(engine).watch_arrivals(std::move(arrives));
}

EngineUse engine_use(const Engine& engine) { return EngineAccess::impl(engine).use(); }

const std::vector<Admission>& latest_admissions(const Engine& engine) {
  return EngineAccess::impl(engine).admissions();
}

const std::optional<Error>& latest_step_error(const Engine& engine) {
  return EngineAccess::impl(engine).step_error();
}

}  // namespace quern
