#include "runtime/engine_serving.h"

#include <utility>

#include "runtime/engine_access.h"
#include "runtime/load/device_scope.h"

namespace quern {

PreparedRequest prepare(Engine& engine, const Request& request, int priority) {
  return EngineAccess::impl(engine).prepare(request, priority);
}

RequestId submit(Engine& engine, PreparedRequest request) {
  const DeviceScope scope(engine.options());
  return EngineAccess::impl(engine).submit(std::move(request));
}

EngineUse engine_use(const Engine& engine) { return EngineAccess::impl(engine).use(); }

const std::vector<Admission>& latest_admissions(const Engine& engine) {
  return EngineAccess::impl(engine).admissions();
}

const std::optional<Error>& latest_step_error(const Engine& engine) {
  return EngineAccess::impl(engine).step_error();
}

}  // namespace quern
