#include "quern/benchmark.h"

#include "runtime/engine_access.h"
#include "runtime/load/device_scope.h"

namespace quern {

StepCost decode_cost(const Engine& engine, int num_seqs, int kv_len) {
  return EngineAccess::impl(engine).step_cost(decode_sizes(num_seqs, kv_len));
}

StepCost prefill_cost(const Engine& engine, int num_seqs, int prompt_len) {
  return EngineAccess::impl(engine).step_cost(prefill_sizes(num_seqs, prompt_len));
}

double measure_read_gbps(Engine& engine) {
  const DeviceScope scope(engine.options());
  return EngineAccess::impl(engine).backend().measure_read_gbps();
}

double measure_product_tflops(Engine& engine) {
  const DeviceScope scope(engine.options());
  return EngineAccess::impl(engine).backend().measure_product_tflops(
      engine.options().dtype.value());
}

Profile profile(const Engine& engine) { return EngineAccess::impl(engine).profile(); }

StepTimes take_step_times(Engine& engine) {
  const DeviceScope scope(engine.options());
  return EngineAccess::impl(engine).take_step_times();
}

std::string graph_dump(const Engine& engine) {
  return dump(EngineAccess::impl(engine).model().graph);
}

}  // namespace quern
