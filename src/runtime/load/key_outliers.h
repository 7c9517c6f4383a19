#pragma once

#include <span>

#include "backend/backend.h"
#include "graph/graph.h"
#include "graph/kv_format.h"

namespace quern {

/// What quantizing a vector as a key changes the smaller half of its elements by (those below the
/// median magnitude): root mean square of the error over that of the elements. About 0.02 for
/// normally distributed elements as uint8, and 0.03 as float8_e4m3; an outlier, which decides the
/// scale, raises it. 0 for a vector whose smaller half is zero.
double smaller_half_error(DType stored, std::span<const float> vector);

/// Warns where a format with scaled keys is a poor one for this model: where the attention's biases
/// alone give the keys such outliers that smaller_half_error() of a head's bias is more than a
/// tenth. Names the worst layer and head with its error. Costs a copy of the biases.
void warn_of_key_outliers(const Graph& graph, std::span<const Weight> weights, Backend& backend,
                          const KvFormat& format);

}  // namespace quern
