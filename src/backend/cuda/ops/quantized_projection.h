#pragma once

#include <cstdint>

#include "backend/cuda/ops/projection.h"
#include "backend/workspace.h"
#include "kernels/quant/gemm/quantized_gemm.h"
#include "kernels/quant/gemv/quantized_gemv.h"

namespace quern::cuda {

/// A weight as kernels take it.
kernels::QuantizedWeight kernel_weight(const Weight& weight);

/// Launch parameters of quantized_gemv() except `norm` and `residual_out`.
kernels::QuantizedGemvParams quantized_gemv_params(const Projection& projection,
                                                   const OpContext& context);

/// Whether a kernel for quantized weights takes the sizes and the alignment of a projection.
bool serves_quantized(ProjectionKernel kernel, const Projection& projection,
                      const OpContext& context);

/// Runs a projection with a kernel for quantized weights. Rows are gathered first where the weight
/// permutes its inputs.
void project_quantized(ProjectionKernel kernel, const Projection& projection, Workspace& workspace,
                       const OpContext& context);

/// Writes the weight's numbers, rounded to the activation dtype, to the workspace. Returns it as a
/// row-major weight.
Weight dequantize(const Projection& projection, Workspace& workspace, const OpContext& context);

/// Allocates the scratch of the functions above for up to `num_rows` rows of `activation`.
void plan_quantized_projection(Workspace& workspace, std::int64_t num_rows,
                               const WeightShape& shape, DType activation);

}  // namespace quern::cuda
