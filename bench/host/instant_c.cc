// libquern_c with a device that takes no time (see InstantBackend), for python_overhead.py: every
// token is the host's work alone. Exports quern_instant_engine_load beside the C API.

#include <memory>

#include "bench/host/instant_backend.h"
#include "bindings/c/handles.h"
#include "bindings/c/requests.h"
#include "runtime/engine_access.h"
#include "runtime/load/engine_plan.h"

extern "C" QUERN_C_API quern_status quern_instant_engine_load(const char* model,
                                                              const quern_engine_options* options,
                                                              quern_engine** engine);

quern_status quern_instant_engine_load(const char* model, const quern_engine_options* options,
                                       quern_engine** engine) {
  return quern::c::guarded([&] {
    *engine =
        new quern_engine(quern::EngineAccess::make(std::make_unique<quern::EngineAccess::Impl>(
            std::string(model), quern::c::read_engine_options(options),
            std::make_unique<quern::bench::InstantBackend>(300))));
  });
}
