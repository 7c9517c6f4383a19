#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "compare/bounds.h"
#include "runtime/load/engine_plan.h"
#include "runtime/load/opened_model.h"
#include "runtime/run/model_runner.h"

namespace quern {

/// One of the two models of a comparison: a model on its backend with nodes run one at a time, and
/// with values that the host reads and writes as float32.
class ComparedSide {
 public:
  /// Errors: those of plan_engine and of loading the weights.
  ComparedSide(OpenedModel model, const EngineOptions& resolved, std::unique_ptr<Backend> backend);

  const OpenedModel& model() const { return model_; }
  const EnginePlan& plan() const { return plan_; }
  Backend& backend() { return *backend_; }
  const Graph& graph() const { return runner_.graph(); }
  StepArrays& arrays() { return runner_.arrays(); }
  Step& step() { return runner_.step(); }

  /// Uploads a step's batch; afterwards its nodes can be run.
  void begin(const ScheduledStep& step) { this->step().batch = arrays().write_batch(step); }
  void run(const Node& node);

  /// Number of rows of a value that the current step uses.
  std::int64_t num_rows(ValueId id);
  HostRows read(ValueId id);
  void write(ValueId id, const HostRows& rows);
  /// Rows of a weight; vectors have one.
  HostRows read_weight(WeightId id, std::int64_t first_row, std::int64_t count);

  /// Keys and values of a block, times their scales: [2][kv_head][slot][head_dim].
  std::vector<float> read_block(int layer, std::int32_t block);
  /// Copies a block of another side's cache: as it is stored where both store alike, else as
  /// floats.
  void copy_block(ComparedSide& from, int layer, std::int32_t block);

  /// The latest sampled token, by state row.
  std::int32_t read_token(int state_row);
  void write_token(int state_row, std::int32_t id);

 private:
  /// The keys or the values of a block of one layer.
  struct BlockVectors {
    std::byte* data = nullptr;
    float* scales = nullptr;  ///< null: none
    DType stored = DType::float32;
  };
  std::array<BlockVectors, 2> block_vectors(int layer, std::int32_t block);
  std::vector<float> read_vectors(const BlockVectors& vectors);
  std::vector<std::byte> read_bytes(const void* device, std::size_t size_bytes);
  std::vector<float> read_floats(const std::byte* device, DType dtype, std::int64_t count);
  void write_floats(std::byte* device, DType dtype, std::span<const float> values);

  OpenedModel model_;
  std::unique_ptr<Backend> backend_;
  EnginePlan plan_;
  ModelRunner runner_;
};

}  // namespace quern
