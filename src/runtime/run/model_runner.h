#pragma once

#include <map>
#include <memory>
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
#include "runtime/run/profiler.h"
#include "runtime/run/step_arrays.h"

namespace quern {

/// A model on its device: weights, KV cache, activations and step inputs in their four arenas, and
/// the ways to run it.
class ModelRunner {
 public:
  /// Allocates what the plan says and loads the weights. `backend` must outlive this, `model` only
  /// the call.
  ModelRunner(const OpenedModel& model, const EnginePlan& plan, Backend& backend);
  ModelRunner(const ModelRunner&) = delete;
  ModelRunner& operator=(const ModelRunner&) = delete;

  /// Runs one closed step.
  void run(const BatchView& batch);
  /// Runs a closed step of decode sequences alone, `times` times without a look in between.
  void replay_decode(BatchView batch, int times);
  /// The most decode steps that one recording serves, from a batch's context on.
  int max_loop_steps(const BatchView& batch) const;
  /// Starts a loop of decode steps that the device runs by itself and ends as `control` says, after
  /// at most max_loop_steps(). Errors: see Backend::record.
  void start_device_loop(BatchView batch, const LoopControl& control);
  /// Runs the model for a batch without sampling and hands `sink` the logits of `num_rows` of its
  /// token rows from `first_row` on.
  void run_logits(BatchView batch, int first_row, int num_rows, const LogitsSink& sink);

  StepArrays& arrays() { return arrays_; }
  std::span<const Weight> weights() const { return weights_; }
  /// Null unless the plan's options ask for a profile.
  const Profiler* profiler() const { return profiler_ ? &*profiler_ : nullptr; }
  /// Of the decode step that was recorded last.
  const LaunchCounts& decode_counts() const { return decode_counts_; }

  // For those who run it node by node.
  const Graph& graph() const { return graph_; }
  Step& step() { return step_; }

 private:
  void place_values(const EnginePlan& plan);
  void allocate_kv_cache(const EnginePlan& plan);
  void profile_decode(BatchView batch, int times);
  /// The context length that the recording for `kv_len` tokens serves.
  int bucket(int kv_len) const;
  std::span<const Node> nodes() const { return graph_.nodes; }

  Backend* backend_;
  Graph graph_;
  Arena weight_arena_, kv_arena_, activation_arena_;
  std::vector<Weight> weights_;
  std::vector<Tensor> values_;
  StepArrays arrays_;
  Step step_;
  int max_logit_rows_;
  int max_seq_len_;
  /// By num_seqs and by a bound of the context's length, so that short contexts do not pay for a
  /// launch made for long ones.
  using Recordings = std::map<std::pair<int, int>, std::unique_ptr<Recording>>;
  Recordings decode_recordings_, loop_recordings_;
  LaunchCounts decode_counts_;
  std::optional<Profiler> profiler_;
};

}  // namespace quern
