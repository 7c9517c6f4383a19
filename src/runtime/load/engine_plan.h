#pragma once

#include "backend/backend.h"
#include "graph/kv_format.h"
#include "graph/limits.h"
#include "graph/plan/memory_plan.h"
#include "quern/engine.h"
#include "runtime/load/opened_model.h"
#include "runtime/run/decode_buckets.h"

namespace quern {

/// Where the host runs ahead: units of steps in flight, one that the device runs and one behind it.
inline constexpr int kUnitsAhead = 2;

/// All sizes of an engine, fixed before any allocation.
struct EnginePlan {
  EngineOptions options;  ///< resolved options
  Limits limits;
  KvFormat kv_format;
  int ring_capacity = 0;
  bool device_loop = false;      ///< whether the decode loop runs on the device
  bool runs_ahead = false;       ///< whether the host launches steps before it has read the last
  DecodeBuckets decode_buckets;  ///< empty where decode steps are not recorded
  ActivationPlan activations;
  MemoryPlan memory;
};

/// Checks options that need no model: device, dtype, ranges. Fills in device and threads. Errors:
/// invalid_argument naming option and value; device when the requested kind is missing.
EngineOptions resolve_options(EngineOptions options);

/// Fits the limits to the model and to the free memory of the backend's device. A default
/// max_seq_len shrinks to what fits, with a log line; an explicit one that does not fit is an
/// error. Decides where the decode loop runs, with a log line where a GPU cannot run it. Errors:
/// invalid_argument; out_of_memory with the bytes of each component and what to lower; unsupported
/// for a required device loop that is not possible, for a node that the backend cannot run within
/// the limits, and for a KV format that attention does not support.
EnginePlan plan_engine(const OpenedModel& model, const Backend& backend,
                       const EngineOptions& resolved);

}  // namespace quern
