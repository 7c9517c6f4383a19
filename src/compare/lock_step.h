#pragma once

#include <span>
#include <string>

#include "compare/bound_finder.h"
#include "compare/side.h"
#include "compare/value_comparison.h"
#include "quern/compare.h"

namespace quern {

/// Runs two sides node by node in lock-step and compares their values; see quern/compare.h. Their
/// graphs have the same nodes, weights and values; dtypes and contents may differ.
class LockStep {
 public:
  /// The sides must outlive this.
  LockStep(ComparedSide& tested, ComparedSide& reference, const CompareOptions& options);

  /// Runs the prompts in one batch and then the decode steps. Errors: those of Engine::submit and
  /// of the nodes.
  void run(std::span<const Request> prompts, Comparison& comparison);

 private:
  void run_step(const ScheduledStep& step);
  void copy_inputs(const Node& node, const ScheduledStep& step);
  void copy_past(const Attention& op, const ScheduledStep& step);
  void compare_outputs(std::size_t node_index, const ScheduledStep& step);
  void compare_appended(const Node& node, const Attention& op, const ScheduledStep& step);
  void compare_tokens(const Node& node, const ScheduledStep& step);
  void add(const Node& node, const std::string& value, DType dtype, const HostRows& tested,
           const HostRows& reference, const ErrorBounds& bounds, double max_nmse);
  bool same_dtype() const;
  bool has_bounds() const { return options_.lock_step && same_dtype(); }

  ComparedSide& tested_;
  ComparedSide& reference_;
  CompareOptions options_;
  BoundFinder bounds_;
  Comparison* comparison_ = nullptr;
};

/// Evaluates a comparison of rows; `max_nmse` and the bounds are its limits.
ValueComparison compared_value(const std::string& value, const ComparedRows& rows,
                               std::optional<double> max_nmse);

}  // namespace quern
