#pragma once

#include <cstdint>

#include "kernels/common/load.cuh"
#include "kernels/epilogue.h"

namespace quern::kernels {

__device__ inline float activate(Activation activation, float x) {
  switch (activation) {
    case Activation::none:
      return x;
    case Activation::silu:
      return x / (1.0f + expf(-x));
    case Activation::gelu:
      return x * normcdff(x);
    case Activation::gelu_tanh: {
      constexpr float kSqrt2OverPi = 0.797884560802865356f;
      // 0.5 (1 + tanh(y)) as a logistic function keeps its precision where tanh is near -1.
      const float y = kSqrt2OverPi * (x + 0.044715f * x * x * x);
      return x / (1.0f + expf(-2.0f * y));
    }
    case Activation::relu:
      return x < 0.0f ? 0.0f : x;  // NaN stays NaN
  }
  return x;
}

/// Stores one element of the result from its product, or from those of its gate and up rows.
__device__ inline void finish(const Epilogue& epilogue, std::int64_t row, std::int64_t feature,
                              float product, float up) {
  if (epilogue.bias != nullptr) product += epilogue.bias[feature];
  float value = activate(epilogue.activation, product);
  if (epilogue.gated) {
    if (epilogue.bias != nullptr) up += epilogue.bias[epilogue.out_features + feature];
    value *= up;
  }
  store_element(epilogue.out_dtype, epilogue.out, row * epilogue.out_features + feature, value);
}

}  // namespace quern::kernels
