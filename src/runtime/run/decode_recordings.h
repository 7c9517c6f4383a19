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

/// The recorded decode steps of an engine, one per bucket of its plan.
struct DecodeRecordings {
  RecordedLoop loop = RecordedLoop::host;
  std::map<DecodeShape, std::unique_ptr<Recording>> by_shape;
  /// Decrease of free memory while recording: recordings and lazily loaded kernels. 0 where the
  /// plan has no bytes for them.
  std::uint64_t measured_bytes = 0;

  /// Null when there is no recording of this kind.
  Recording* find(RecordedLoop wanted, const DecodeShape& shape) const;
};

/// Records `nodes` for every bucket of the plan, with the batch arrays of `arrays` and the rest of
/// `step`; see Backend::record for lifetimes. Runs nothing. Device loops that cannot be recorded
/// fall back to host loops, with a log line, unless the options require them. Errors: see
/// Backend::record.
DecodeRecordings record_decode_steps(Backend& backend, std::span<const Node> nodes, Step step,
                                     const StepArrays& arrays, const EnginePlan& plan);

}  // namespace quern
