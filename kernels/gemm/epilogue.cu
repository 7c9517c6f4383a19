#include <algorithm>
#include <utility>

#include "kernels/common/dependent_launch.cuh"
#include "kernels/common/dispatch.h"
#include "kernels/common/epilogue.cuh"
#include "kernels/common/launch.h"
#include "kernels/gemm/epilogue.h"

namespace quern::kernels {
namespace {

constexpr int kEpilogueThreads = 128;
constexpr std::int64_t kMaxRowBlocks = 1024;

/// log(1 + e^x), without overflow.
__device__ float softplus(float x) { return fmaxf(x, 0.0f) + log1pf(expf(-fabsf(x))); }

/// Any activation. Comparisons let NaN stay NaN.
__device__ float activate_any(Activation activation, float x) {
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
      return activate(activation, x);
  }
}

/// The epilogues of adjacent features.
template <int... kAt>
struct FeatureEpilogues {
  FeatureEpilogue of[sizeof...(kAt)];
  __device__ FeatureEpilogues(const Epilogue& epilogue, std::int64_t first,
                              std::integer_sequence<int, kAt...>)
      : of{FeatureEpilogue(epilogue, first + kAt)...} {}
};

/// grid: features, rows. A thread computes kWidth (1 or 4) features of several rows. kIsFused: the
/// activation is_fused_activation() and there are no row_scales.
template <typename T, int kWidth, bool kIsFused>
__global__ void __launch_bounds__(kEpilogueThreads)
    apply_epilogue_kernel(const __grid_constant__ ApplyEpilogueParams p) {
  let_next_kernel_start();
  const Epilogue& epilogue = p.epilogue;
  const std::int64_t features = epilogue.out_features;
  const std::int64_t first = kWidth * (std::int64_t{blockIdx.x} * kEpilogueThreads + threadIdx.x);
  if (first >= features) return;
  const FeatureEpilogues features_of_thread(epilogue, first,
                                            std::make_integer_sequence<int, kWidth>());
  wait_for_earlier_kernels();
  const std::int64_t stride = epilogue.gated ? 2 * features : features;
  for (std::int64_t row = blockIdx.y; row < p.num_rows; row += gridDim.y) {
    const float* products = p.products + row * stride + first;
    auto product = load_elements<kWidth>(products);
    auto up = epilogue.gated ? load_elements<kWidth>(products + features) : product;
    if constexpr (!kIsFused) {
      const float scale = p.row_scales != nullptr ? p.row_scales[row] : 1.0f;
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        product.at[i] *= scale;
        up.at[i] *= scale;
      }
    }
    Elements<kWidth> results;
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      const FeatureEpilogue& feature = features_of_thread.of[i];
      if constexpr (kIsFused) {
        results.at[i] = feature.apply(product.at[i], up.at[i], activate);
      } else {
        results.at[i] = feature.apply(product.at[i], up.at[i], activate_any);
      }
    }
    store_elements<kWidth>(static_cast<T*>(epilogue.out) + row * features + first, results);
  }
}

}  // namespace

void apply_epilogue(const ApplyEpilogueParams& params, cudaStream_t stream) {
  const Epilogue& epilogue = params.epilogue;
  const bool wide = epilogue.out_features % 4 == 0;
  const std::int64_t threads = wide ? epilogue.out_features / 4 : epilogue.out_features;
  const LaunchShape shape{
      .grid = dim3(static_cast<unsigned>((threads + kEpilogueThreads - 1) / kEpilogueThreads),
                   static_cast<unsigned>(std::min(params.num_rows, kMaxRowBlocks))),
      .block = dim3(kEpilogueThreads),
      .use_pdl = params.use_pdl};
  dispatch_float(epilogue.out_dtype, "apply_epilogue", [&]<typename T>() {
    if (params.row_scales == nullptr && is_fused_activation(epilogue.activation)) {
      return launch(wide ? apply_epilogue_kernel<T, 4, true> : apply_epilogue_kernel<T, 1, true>,
                    shape, stream, params);
    }
    launch(wide ? apply_epilogue_kernel<T, 4, false> : apply_epilogue_kernel<T, 1, false>, shape,
           stream, params);
  });
}

}  // namespace quern::kernels
