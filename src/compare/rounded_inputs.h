#pragma once

#include <span>
#include <vector>

#include "weights/format.h"

namespace quern {

/// One row of a GEMM's inputs after a weight's ActivationFormat.
struct RoundedInputs {
  std::vector<double> values;
  /// What each may differ by between two sides: where a number is near an edge of the rounding it
  /// is a step, and the group's scale differs as its largest number does.
  std::vector<double> moves;
};

/// `moves`: what the numbers themselves may differ by. Numbers that do not differ are rounded
/// alike.
RoundedInputs round_inputs(std::span<const double> row, std::span<const double> moves,
                           const ActivationFormat& format);

}  // namespace quern
