#pragma once

#include <cstdint>

#include "kernels/common/load.cuh"
#include "kernels/gemm/epilogue.h"

namespace quern::kernels {

/// An activation that is_fused_activation().
__device__ inline float activate(Activation activation, float x) {
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
  template <typename Activate>
  __device__ float apply(float product, float up, const Activate& activate) const {
    const float value = activate(epilogue_.activation, product + bias_);
    return epilogue_.gated ? value * (up + up_bias_) : value;
  }

  /// Stores the result as an element of the output.
  __device__ void finish(std::int64_t row, float product, float up) const {
    store_element(epilogue_.out_dtype, epilogue_.out, row * epilogue_.out_features + feature_,
                  apply(product, up, activate));
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
