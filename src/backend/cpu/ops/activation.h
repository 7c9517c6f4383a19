#pragma once

#include <span>

#include "graph/op.h"

namespace quern::cpu {

/// Applies an activation in place, in float32.
void activate(Activation activation, std::span<float> values);

}  // namespace quern::cpu
