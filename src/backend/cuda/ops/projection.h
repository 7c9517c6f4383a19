#pragma once

#include <cstdint>
#include <functional>

#include "backend/cuda/ops/ops.h"
#include "backend/cuda/ops/projection_kernels.h"
#include "kernels/gemm/deterministic_gemm.h"
#include "kernels/gemm/epilogue.h"
#include "kernels/gemm/skinny_gemm.h"
#include "kernels/gemv/gemv.h"

namespace quern::cuda {

/// The GEMM and epilogue shared by NormLinear and Linear: out = activation(in · Wᵀ + bias), gated
/// or not, see op.h.
struct Projection {
  const void* in = nullptr;  ///< [num_rows, in_features], dense; null if a fused norm computes it
  DType in_dtype = DType::float32;
  std::int64_t num_rows = 0;
  const Weight* weight = nullptr;
  kernels::Epilogue epilogue;
};

/// The epilogue of a projection that writes `out`; `bias` may be null.
kernels::Epilogue make_epilogue(const Tensor& out, const Weight* bias, Activation activation,
                                bool gated);

/// Errors: internal, unless the shapes of weight, input and output agree.
void check_shapes(const Projection& projection, std::int64_t in_features);

/// The kernel with which project() runs this, or the products of an activation that is not fused;
/// see projection_kernels.h. gemv() and deterministic_gemm() of one row can fuse the norm. Errors:
/// unsupported where no kernel supports the weight's format.
ProjectionKernel projection_kernel(const Projection& projection, const OpContext& context);

/// Launch parameters of gemv() except `norm` and `residual_out`.
kernels::GemvParams gemv_params(const Projection& projection, const OpContext& context);

/// Launch parameters of skinny_gemm().
kernels::SkinnyGemmParams skinny_gemm_params(const Projection& projection,
                                             const OpContext& context);

/// Launch parameters of deterministic_gemm() except `norm` and `residual_out`.
kernels::DeterministicGemmParams deterministic_gemm_params(const Projection& projection,
                                                           const OpContext& context);

/// Runs a projection whose input rows are in memory, with projection_kernel().
void project(const Projection& projection, Workspace& workspace, const OpContext& context);

/// float32 products of a block of rows, before an epilogue.
struct Products {
  float* data = nullptr;  ///< [block_rows, weight rows]
  std::int64_t block_rows = 0;
};

Products take_products(Workspace& workspace, std::int64_t num_rows, std::int64_t weight_rows);

/// multiply(block of rows) writes a block's products to `products`; the epilogue follows, with the
/// scale of each row where there are `row_scales`.
void for_each_block(const Projection& projection, const Products& products, const float* row_scales,
                    const OpContext& context,
                    const std::function<void(const Projection& block)>& multiply);

/// Allocates project()'s scratch for up to `num_rows` rows of `dtype` from the workspace.
void plan_projection(Workspace& workspace, std::int64_t num_rows, const WeightSpec& weight,
                     DType dtype, Activation activation);

}  // namespace quern::cuda
