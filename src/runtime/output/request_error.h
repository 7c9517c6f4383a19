#pragma once

#include <cstdint>
#include <string>

#include "graph/step.h"
#include "quern/dtype.h"

namespace quern {

/// The text of Result::error for a SampleError in the output ring; `activations` is the model's
/// activation dtype.
std::string sample_error_text(std::int32_t error, DType activations);

}  // namespace quern
