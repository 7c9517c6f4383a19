#pragma once

#include <map>
#include <optional>
#include <span>
#include <vector>

#include "base/memory/buffer.h"
#include "compare/side.h"
#include "runtime/schedule/scheduler.h"

namespace quern {

/// Computes error bounds of another side's outputs from the reference's inputs, weights and outputs
/// of the node that was just run.
class BoundFinder {
 public:
  explicit BoundFinder(ComparedSide& reference) : reference_(reference) {}

  /// The bounds of a node's `out`; empty where results must be equal.
  ErrorBounds of(const Node& node, const ScheduledStep& step);
  /// The bounds of the keys that an Attention appended, and those keys.
  ErrorBounds of_appended_keys(const Attention& op, const ScheduledStep& step,
                               const HostRows& keys);

 private:
  /// read_sequences() with rope's frequencies.
  std::vector<BoundedSequence> bounded_sequences(const Attention& op, const ScheduledStep& step);
  ErrorBounds find(const NormLinear& op, const ScheduledStep& step);
  ErrorBounds find(const Linear& op, const ScheduledStep& step);
  ErrorBounds find(const Attention& op, const ScheduledStep& step);
  template <typename Other>
  ErrorBounds find(const Other&, const ScheduledStep&) {
    return {};
  }

  const MatrixLengths& lengths_of(WeightId id);
  std::span<const float> vector_weight(const std::optional<WeightId>& id);
  /// residual + delta of the rows that the op norms.
  HostRows normed_rows(const NormLinear& op, const ScheduledStep& step);
  /// W · n + bias before activation and gate: runs the op once more without them.
  HostRows run_without_activation(const NormLinear& op);

  ComparedSide& reference_;
  std::map<WeightId, MatrixLengths> lengths_;
  std::map<WeightId, std::vector<float>> vectors_;
  Buffer scratch_, workspace_;
};

/// The step's sequences with their keys and values after the append of `layer`.
std::vector<BoundedSequence> read_sequences(ComparedSide& side, const ScheduledStep& step,
                                            int layer);

}  // namespace quern
