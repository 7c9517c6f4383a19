#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "runtime/load/engine_plan.h"
#include "runtime/load/opened_model.h"
#include "runtime/run/model_runner.h"
#include "runtime/schedule/sequence.h"

namespace quern {

/// Receives inputs of a GEMM, [any number of rows, in_features].
using InputRows = std::function<void(std::span<const float> rows)>;

/// A model on the CPU that runs texts node by node, all texts through a node before the next: after
/// a matrix was replaced, what follows sees its new outputs. Between nodes the values of all texts
/// that a later node reads are in memory.
class CalibrationRun {
 public:
  /// Loads the model in float32. Errors: those of Engine::load; invalid_argument for a text that is
  /// empty, too long or has an id outside the vocabulary.
  CalibrationRun(const OpenedModel& model, std::span<const std::vector<std::int32_t>> texts,
                 const EngineOptions& resolved);

  const Graph& graph() const { return runner_.graph(); }

  /// Passes what the node's matrix is multiplied with: of a NormLinear the normed rows. Nodes
  /// before it must have run.
  void read_inputs(const Node& node, const InputRows& sink);
  /// Runs the next node, and drops values that none reads after it.
  void run(const Node& node);

  /// Numbers of a matrix or vector, [out_features, in_features].
  std::vector<float> read_weight(WeightId id);
  /// Replaces them, rounded to the dtype in which the weight is in memory.
  void write_weight(WeightId id, std::span<const float> values);

 private:
  using Floats = std::vector<float>;

  void begin(const Sequence& text);
  std::vector<float> normed_rows(const NormLinear& op, std::size_t text);
  Floats& value(ValueId id, std::size_t text);
  void write_value(ValueId id, std::span<const float> rows);
  Floats read_value(ValueId id, std::int64_t num_rows);
  void run_logit_rows(const Node& node, std::size_t text);
  void drop_values(const Node& node);

  const OpenedModel& model_;
  std::unique_ptr<Backend> backend_;
  EnginePlan plan_;
  ModelRunner runner_;
  std::vector<std::unique_ptr<Sequence>> texts_;
  std::vector<std::vector<Floats>> values_;  ///< by ValueId and text; empty: not there
  std::vector<std::size_t> last_reader_;     ///< by ValueId: index of the node
};

}  // namespace quern
