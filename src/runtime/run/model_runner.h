#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "backend/backend.h"
#include "backend/executor.h"
#include "base/memory/arena.h"
#include "graph/graph.h"
#include "quern/engine.h"
#include "runtime/load/engine_plan.h"
#include "runtime/load/opened_model.h"
#include "runtime/run/decode_recordings.h"
#include "runtime/run/profiler.h"
#include "runtime/run/step_arrays.h"
#include "runtime/run/step_timer.h"

namespace quern {

/// A model on its device: weights, KV cache, activations and step inputs in four arenas, and the
/// ways to run it.
class ModelRunner {
 public:
  /// Allocates what the plan says, loads the weights and records the decode steps concurrently.
  /// `backend` must outlive this, `model` only the call.
  ModelRunner(const OpenedModel& model, const EnginePlan& plan, Backend& backend);
  ModelRunner(const ModelRunner&) = delete;
  ModelRunner& operator=(const ModelRunner&) = delete;

  /// Uploads a step's batch. Pure decode is padded to a recorded batch size.
  BatchView write_batch(const ScheduledStep& step);
  /// Runs one closed step.
  void run(const BatchView& batch);
  /// Passes `sink` the logits of token rows of the step that ran last, which was not replayed.
  void read_logits(BatchView batch, int first_row, int num_rows, const LogitsSink& sink);
  /// Computes the logits of that step's own rows again, for copy_logits().
  void restore_logits(const BatchView& batch);
  /// Runs a closed decode step `times` times without a stop check in between: as recorded, or node
  /// by node where no recording exists.
  void replay_decode(BatchView batch, int times);
  /// Whether device loops were recorded; a precondition of the next two.
  bool has_device_loops() const { return recordings_.loop == RecordedLoop::device; }
  /// Maximum number of decode steps for which a batch stays within a recording's context bucket.
  int max_loop_steps(const BatchView& batch) const;
  /// Starts a device loop of decode steps, which ends as `control` says, after at most
  /// max_loop_steps().
  void start_device_loop(const BatchView& batch, const LoopControl& control);
  /// Runs the model for a batch without sampling and passes `sink` the logits of `num_rows` of its
  /// token rows from `first_row` on.
  void run_logits(const BatchView& batch, int first_row, int num_rows, const LogitsSink& sink);

  /// Copies `num_rows` rows of the logits of the step that ran last.
  void copy_logits(int first_row, int num_rows, std::vector<float>& logits);
  /// Copies KV blocks in stream order; see Backend::copy_blocks.
  void copy_blocks(std::span<const BlockCopy> copies);

  StepArrays& arrays() { return arrays_; }
  std::span<const Weight> weights() const { return weights_; }
  /// Null unless the plan's options enable profiling.
  const Profiler* profiler() const { return profiler_ ? &*profiler_ : nullptr; }
  /// Null unless the plan's options ask for it.
  StepTimer* step_timer() { return step_timer_ ? &*step_timer_ : nullptr; }
  /// The shape of the last recorded decode step that was run.
  const LaunchCounts& decode_counts() const { return decode_counts_; }
  /// See DecodeRecordings::measured_bytes.
  std::uint64_t recording_bytes() const { return recordings_.measured_bytes; }

  // For callers that run it node by node.
  const Graph& graph() const { return graph_; }
  Step& step() { return step_; }

 private:
  void place_values(const EnginePlan& plan);
  void allocate_kv_cache(const EnginePlan& plan);
  void profile_decode(BatchView batch, int times);
  /// The nodes before Sample: those of token rows, and those of logit rows.
  std::pair<std::span<const Node>, std::span<const Node>> open_nodes() const;
  /// Calls `launch`, timed as a step of this batch where steps are timed.
  template <typename Launch>
  void timed(const BatchView& batch, const Launch& launch);
  /// The recording for the batch; null when there is none of this kind.
  Recording* find_recording(RecordedLoop loop, const BatchView& batch) const;
  std::span<const Node> nodes() const { return graph_.nodes; }

  Backend* backend_;
  Graph graph_;
  Arena weight_arena_, kv_arena_, activation_arena_;
  std::vector<Weight> weights_;
  std::vector<Tensor> values_;
  StepArrays arrays_;
  Step step_;
  int max_logit_rows_;
  DecodeBuckets buckets_;
  DecodeRecordings recordings_;
  LaunchCounts decode_counts_;
  std::optional<Profiler> profiler_;
  std::optional<StepTimer> step_timer_;
};

}  // namespace quern
