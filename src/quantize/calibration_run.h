#pragma once

#include <array>
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

/// Receives inputs of a GEMM, [any number of rows, in_features], and those of the original model.
using InputRows =
    std::function<void(std::span<const float> rows, std::span<const float> original_rows)>;

/// Two models run side by side: as it was, and with the matrices that were replaced.
enum class CalibrationStream : std::uint8_t { original, quantized };

/// A model on the CPU that runs texts node by node, all texts of both streams through a node before
/// the next. There is one copy of its weights: the original stream goes through a node first, and
/// then its matrix may be replaced. Between nodes the values of all texts that a later node reads
/// are in memory.
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
  /// Runs the next node of a stream, and drops values that none reads after it.
  void run(const Node& node, CalibrationStream stream);

  /// Numbers of a matrix or vector, [out_features, in_features].
  std::vector<float> read_weight(WeightId id);
  /// Replaces them, rounded to the dtype in which the weight is in memory.
  void write_weight(WeightId id, std::span<const float> values);

 private:
  using Floats = std::vector<float>;
  using Stream = CalibrationStream;

  void begin(const Sequence& text);
  Floats normed_rows(const NormLinear& op, Stream stream, std::size_t text);
  Floats& value(ValueId id, Stream stream, std::size_t text);
  void write_value(ValueId id, std::span<const float> rows);
  Floats read_value(ValueId id, std::int64_t num_rows);
  void run_logit_rows(const Node& node, Stream stream, std::size_t text);
  void drop_values(const Node& node, Stream stream);

  const OpenedModel& model_;
  std::unique_ptr<Backend> backend_;
  EnginePlan plan_;
  ModelRunner runner_;
  std::vector<std::unique_ptr<Sequence>> texts_;
  /// By stream, ValueId and text; empty: not there.
  std::array<std::vector<std::vector<Floats>>, 2> values_;
  std::vector<std::size_t> last_reader_;  ///< by ValueId: index of the node
};

}  // namespace quern
