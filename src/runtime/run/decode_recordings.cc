#include "runtime/run/decode_recordings.h"

#include "base/error.h"
#include "base/log.h"
#include "runtime/load/timed_phase.h"

namespace quern {
namespace {

DecodeRecordings record_all(Backend& backend, std::span<const Node> nodes, Step step,
                            const StepArrays& arrays, const EnginePlan& plan, RecordedLoop loop) {
  DecodeRecordings recordings;
  recordings.loop = loop;
  for (const DecodeShape& shape : plan.decode_buckets.shapes()) {
    step.batch = arrays.decode_batch(shape.num_seqs, shape.max_kv_len);
    recordings.by_shape.emplace(shape, backend.record(nodes, step, loop));
  }
  return recordings;
}

}  // namespace

Recording* DecodeRecordings::find(RecordedLoop wanted, const DecodeShape& shape) const {
  const auto found = by_shape.find(shape);
  return wanted == loop && found != by_shape.end() ? found->second.get() : nullptr;
}

DecodeRecordings record_decode_steps(Backend& backend, std::span<const Node> nodes, Step step,
                                     const StepArrays& arrays, const EnginePlan& plan) {
  if (plan.decode_buckets.empty()) return {};
  const TimedPhase phase("recording the decode steps");
  const std::uint64_t free_before = backend.available_bytes();
  const auto record = [&](RecordedLoop loop) {
    return record_all(backend, nodes, step, arrays, plan, loop);
  };
  DecodeRecordings recordings;
  try {
    recordings = record(plan.device_loop ? RecordedLoop::device : RecordedLoop::host);
  } catch (const Error& error) {
    if (!plan.device_loop || plan.options.device_loop == DeviceLoopChoice::require ||
        error.code() == ErrorCode::out_of_memory) {
      throw;
    }
    log(LogLevel::warning, "the host takes over the decode loop: {}", error.what());
    recordings = record(RecordedLoop::host);
  }
  if (plan.memory.recording_bytes == 0) return recordings;
  const std::uint64_t free_after = backend.available_bytes();
  recordings.measured_bytes = free_before > free_after ? free_before - free_after : 0;
  log(LogLevel::info, "{} decode steps recorded: {} bytes planned, {} bytes measured",
      recordings.by_shape.size(), plan.memory.recording_bytes, recordings.measured_bytes);
  return recordings;
}

}  // namespace quern
