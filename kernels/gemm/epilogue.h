#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "quern/dtype.h"

namespace quern::kernels {

/// As graph/op.h's.
enum class Activation : std::uint8_t {
  none,
  silu,
  gelu,
  gelu_tanh,
  relu,
  quick_gelu,
  gelu_10,
  relu_squared,
  relu6,
  leaky_relu,
  tanh,
  sigmoid,
  mish,
  hardswish,
  laplace,
  sqrt_softplus,
};

/// Whether the kernels of projections apply an activation. The others, which few models have, are
/// apply_epilogue()'s alone: their code, even where it is not run, slows kernels of some
/// microseconds by 1 to 4 %.
constexpr bool is_fused_activation(Activation activation) { return activation <= Activation::relu; }

/// A projection's epilogue on its float32 products: out = activation(product + bias), or gated out
/// = activation(gate + bias) · (up + bias), rounded once. Gate rows come first in the weight and in
/// `bias`, the up projection's follow.
struct Epilogue {
  const float* bias = nullptr;  ///< [weight rows] or null
  Activation activation = Activation::none;
  bool gated = false;
  void* out = nullptr;  ///< [rows, out_features], dense
  std::int64_t out_features = 0;
  DType out_dtype = DType::float32;  ///< float32, float16 or bfloat16

  std::int64_t weight_rows() const { return gated ? 2 * out_features : out_features; }
};

struct ApplyEpilogueParams {
  const float* products = nullptr;  ///< [num_rows, weight rows], dense
  const float* row_scales =
      nullptr;  ///< [num_rows] what a row's products are multiplied by, or null
  std::int64_t num_rows = 0;
  Epilogue epilogue;
  bool use_pdl = false;  ///< see LaunchShape
};

/// The epilogue as a separate kernel, with all activations. Errors: see launch.h.
void apply_epilogue(const ApplyEpilogueParams& params, cudaStream_t stream);

}  // namespace quern::kernels
