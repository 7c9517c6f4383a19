#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>

#include "backend/backend.h"
#include "runtime/load/engine_plan.h"
#include "runtime/run/decode_buckets.h"
#include "runtime/run/step_arrays.h"

namespace quern {

/// The recorded decode steps of an engine, one for each shape of its plan.
struct DecodeRecordings {
  RecordedLoop loop = RecordedLoop::host;
  std::map<DecodeShape, std::unique_ptr<Recording>> by_shape;
  /// What free memory lost meanwhile: recordings, and what CUDA loaded of kernels. 0 where the plan
  /// has no bytes for them.
  std::uint64_t measured_bytes = 0;

  /// Null when there is none of this kind.
  Recording* find(RecordedLoop wanted, const DecodeShape& shape) const;
};

/// Records `nodes` in every shape of the plan, with the batch arrays of `arrays` and all else of
/// `step`; see Backend::record for what must outlive the recordings. Runs nothing. Device loops
/// that cannot be recorded become host ones, with a log line, unless the options require them.
/// Errors: see Backend::record.
DecodeRecordings record_decode_steps(Backend& backend, std::span<const Node> nodes, Step step,
                                     const StepArrays& arrays, const EnginePlan& plan);

}  // namespace quern
