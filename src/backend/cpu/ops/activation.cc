#include "backend/cpu/ops/activation.h"

#include <cmath>
#include <numbers>

#include "backend/cpu/gemm/vector_kernels.h"

namespace quern::cpu {

void activate(Activation activation, std::span<float> values) {
  switch (activation) {
    case Activation::none:
      return;
    case Activation::silu:
      return vector_kernels().silu(values);
    case Activation::gelu:
      for (float& x : values) x *= 0.5f * std::erfc(-x * (std::numbers::sqrt2_v<float> / 2.0f));
      return;
    case Activation::gelu_tanh:
      return vector_kernels().gelu_tanh(values);
    case Activation::relu:
      for (float& x : values) x = x < 0.0f ? 0.0f : x;  // NaN stays NaN
      return;
  }
}

}  // namespace quern::cpu
