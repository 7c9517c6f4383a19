#pragma once

#include "backend/backend.h"
#include "graph/kv_format.h"
#include "graph/limits.h"
#include "graph/memory_plan.h"
#include "quern/engine.h"
#include "runtime/load/opened_model.h"
#include "runtime/run/decode_buckets.h"

namespace quern {

/// All sizes of an engine, fixed before anything is allocated.
struct EnginePlan {
  EngineOptions options;  ///< as resolved
  Limits limits;
  KvFormat kv_format;
  int ring_capacity = 0;
  bool device_loop = false;      ///< whether the device runs the decode loop by itself
  DecodeBuckets decode_buckets;  ///< empty where decode steps are not recorded
  ActivationPlan activations;
  MemoryPlan memory;
};

/// Checks options that need no model: the device, the dtype, the ranges. Fills in device and
/// threads. Errors: invalid_argument naming option and value; device when there is none of the
/// wanted kind.
EngineOptions resolve_options(EngineOptions options);

/// Fits the limits to the model and to the memory that is free on the backend's device. A
/// max_seq_len that was not asked for shrinks to what fits, with a log line; what was asked for and
/// does not fit is an error. Decides who runs the decode loop, with a log line where a GPU cannot.
/// Errors: invalid_argument; out_of_memory with the bytes of each part and what to lower;
/// unsupported for a device loop that is required and cannot be, for a node that the backend cannot
/// run within the limits, and for a KV format that attention cannot work on.
EnginePlan plan_engine(const OpenedModel& model, const Backend& backend,
                       const EngineOptions& resolved);

}  // namespace quern
