#pragma once

#include <cstdint>
#include <span>

#include "base/dtype.h"

namespace quern::cpu {

/// values = values / √(mean(values²) + ε) · gain, in float32. Source: HF LlamaRMSNorm.
void rms_norm(std::span<float> values, const float* gain, float epsilon);

/// values = (values - mean) / √(variance + ε) · gain + bias, in float32; `bias` may be null.
void layer_norm(std::span<float> values, const float* gain, const float* bias, float epsilon);

/// Rounds each value to `dtype`, kept as float32.
void round_floats(DType dtype, std::span<float> values);

}  // namespace quern::cpu
