#pragma once

#include <cstdint>

#include "kernels/common/load.cuh"
#include "kernels/gemm/epilogue.h"

namespace quern::kernels {

/// log(1 + e^x), without overflow.
__device__ inline float softplus(float x) { return fmaxf(x, 0.0f) + log1pf(expf(-fabsf(x))); }

/// Those that few models have. Out of line, so that they take no registers from the others.
/// Comparisons let NaN stay NaN.
__device__ __noinline__ inline float activate_rare(Activation activation, float x) {
  const auto clamp = [](float value, float low, float high) {
    return value < low ? low : value > high ? high : value;
  };
  switch (activation) {
    case Activation::quick_gelu:
      return x / (1.0f + expf(-1.702f * x));
    case Activation::gelu_10:
      return clamp(x * normcdff(x), -10.0f, 10.0f);
    case Activation::relu_squared:
      return x < 0.0f ? 0.0f : x * x;
    case Activation::relu6:
      return clamp(x, 0.0f, 6.0f);
    case Activation::leaky_relu:
      return x < 0.0f ? 0.01f * x : x;
    case Activation::tanh:
      return tanhf(x);
    case Activation::sigmoid:
      return 1.0f / (1.0f + expf(-x));
    case Activation::mish:
      return x * tanhf(softplus(x));
    case Activation::hardswish:
      return x * (clamp(x + 3.0f, 0.0f, 6.0f) / 6.0f);
    case Activation::laplace:
      return normcdff((x - 0.707107f) / 0.282095f);
    case Activation::sqrt_softplus:
      return sqrtf(softplus(x));
    default:
      return x;
  }
}

/// The rare ones in a branch of their own: a switch over all would load its target from a table,
/// which a kernel of some microseconds shows.
__device__ inline float activate(Activation activation, float x) {
  if (activation > Activation::relu) return activate_rare(activation, x);
  switch (activation) {
    case Activation::silu:
      return x / (1.0f + expf(-x));
    case Activation::gelu:
      return x * normcdff(x);
    case Activation::gelu_tanh: {
      constexpr float kSqrt2OverPi = 0.797884560802865356f;
      // 0.5 (1 + tanh(y)) as a logistic function avoids cancellation where tanh is near -1.
      const float y = kSqrt2OverPi * (x + 0.044715f * x * x * x);
      return x / (1.0f + expf(-2.0f * y));
    }
    case Activation::relu:
      return x < 0.0f ? 0.0f : x;  // NaN propagates
    default:
      return x;
  }
}

/// The epilogue of one feature. It loads the biases at once: they are weights, so earlier kernels
/// may still run (PDL).
class FeatureEpilogue {
 public:
  __device__ FeatureEpilogue(const Epilogue& epilogue, std::int64_t feature)
      : epilogue_(epilogue), feature_(feature) {
    if (epilogue.bias == nullptr) return;
    bias_ = epilogue.bias[feature];
    if (epilogue.gated) up_bias_ = epilogue.bias[epilogue.out_features + feature];
  }

  /// The unrounded result for a product, or for those of its gate and up rows.
  __device__ float apply(float product, float up) const {
    const float value = activate(epilogue_.activation, product + bias_);
    return epilogue_.gated ? value * (up + up_bias_) : value;
  }

  /// Stores the result as an element of the output.
  __device__ void finish(std::int64_t row, float product, float up) const {
    store_element(epilogue_.out_dtype, epilogue_.out, row * epilogue_.out_features + feature_,
                  apply(product, up));
  }

 private:
  const Epilogue& epilogue_;
  std::int64_t feature_;
  float bias_ = 0.0f;
  float up_bias_ = 0.0f;
};

/// Prefetches biases to L2; run by the block. They are weights: earlier kernels may still run
/// (PDL).
__device__ inline void prefetch_biases(const Epilogue& epilogue, std::int64_t begin,
                                       std::int64_t end) {
  constexpr int kFloatsOfLine = 32;
  if (epilogue.bias == nullptr) return;
  for (std::int64_t i = begin + kFloatsOfLine * static_cast<int>(threadIdx.x); i < end;
       i += kFloatsOfLine * static_cast<int>(blockDim.x)) {
    prefetch_to_l2(epilogue.bias + i);
    if (epilogue.gated) prefetch_to_l2(epilogue.bias + epilogue.out_features + i);
  }
}

/// Stores a single element.
__device__ inline void finish(const Epilogue& epilogue, std::int64_t row, std::int64_t feature,
                              float product, float up) {
  FeatureEpilogue(epilogue, feature).finish(row, product, up);
}

}  // namespace quern::kernels
