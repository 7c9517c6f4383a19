#pragma once

#include <cstdint>
#include <string>

#include "graph/step.h"
#include "quern/dtype.h"

namespace quern {

/// What Result::error says of a SampleError in the output ring; `activations` is the dtype in which
/// the model ran.
std::string sample_error_text(std::int32_t error, DType activations);

}  // namespace quern
