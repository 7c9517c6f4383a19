#pragma once

#include <functional>

#include "io/checkpoint.h"
#include "weights/number_warnings.h"
#include "weights/source.h"
#include "weights/weight.h"

namespace quern {

/// The format in which a weight is kept: float32 for vectors; for the others the checkpoint's
/// quantized format, where all parts have one (see joined_format); else `activation`, if that is a
/// 16-bit type; else the checkpoint's dtype (widening it would cost memory and give the same
/// numbers), which is float32 for quantized parts beside others.
WeightFormat stored_format(const WeightSpec& spec, const Checkpoint& checkpoint, DType activation);

/// The same for a weight with a known checkpoint dtype.
WeightFormat stored_format(WeightUse use, DType own, DType activation);

/// Places a weight in memory by reading all of its rows once.
using WeightSink = std::function<Weight(const WeightSource& source)>;

/// Passes the tensors of `spec` from the checkpoint, stacked by rows, transposed and converted to
/// `format` as needed, to `sink` and returns its result. Shapes and dtypes are checked first.
/// Parts of floats are quantized where `format` is a load_time_format(); quantized parts are
/// dequantized where `format` is one of floats. Numbers that are not finite, and those that
/// overflow in `format`, are added to `warnings`, with the tensor's name and their count. Errors:
/// bad_file naming file, tensor, expected and actual shape or dtype; a missing tensor.
Weight load_weight(const Checkpoint& checkpoint, const WeightSpec& spec, const WeightFormat& format,
                   NumberWarnings& warnings, const WeightSink& sink);

}  // namespace quern
