#pragma once

#include <cstdint>

#include "backend/cuda/ops/ops.h"
#include "backend/cuda/ops/projection_kernels.h"
#include "kernels/gemm/epilogue.h"
#include "kernels/gemm/skinny_gemm.h"
#include "kernels/gemv/gemv.h"

namespace quern::cuda {

/// The part that NormLinear and Linear share: out = activation(in · Wᵀ + bias), gated or not, see
/// op.h.
struct Projection {
  const void* in = nullptr;  ///< [num_rows, in_features], dense; null while it is yet to be normed
  DType in_dtype = DType::float32;
  std::int64_t num_rows = 0;
  const Weight* weight = nullptr;
  kernels::Epilogue epilogue;
};

/// The epilogue of a projection into `out`; `bias` may be null.
kernels::Epilogue make_epilogue(const Tensor& out, const Weight* bias, Activation activation,
                                bool gated);

/// Errors: internal, unless weight, input and output fit each other.
void check_shapes(const Projection& projection, std::int64_t in_features);

/// The kernel by which project() runs this; see projection_kernels.h. gemv() of one row can make
/// the norm as well. Errors: unsupported where there is no kernel for the format of the weight.
ProjectionKernel projection_kernel(const Projection& projection, const OpContext& context);

/// The parameters of a launch of gemv() but for `norm` and `residual_out`.
kernels::GemvParams gemv_params(const Projection& projection, const OpContext& context);

/// Those of a launch of skinny_gemm().
kernels::SkinnyGemmParams skinny_gemm_params(const Projection& projection,
                                             const OpContext& context);

/// Runs a projection of rows that are there, by projection_kernel().
void project(const Projection& projection, Workspace& workspace, const OpContext& context);

/// Lays out the scratch that project() takes from the workspace for up to `num_rows` rows.
void plan_projection(Workspace& workspace, std::int64_t num_rows, std::int64_t weight_rows);

}  // namespace quern::cuda
