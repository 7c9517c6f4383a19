#pragma once

#include <cstdint>

#include "backend/cuda/ops/projection.h"
#include "backend/workspace.h"
#include "kernels/quant/float8/float8_rows.h"
#include "kernels/quant/rounded/rounded_rows.h"

namespace quern::cuda {

// Projections whose weight's format rounds their inputs (WeightFormat::activation).

constexpr bool rounds_inputs(const WeightFormat& format) {
  return format.activation.rounding != ActivationRounding::none;
}

/// Whether kernels multiply int8 inputs by this format's integers, in the layout row_major: a scale
/// for each row of inputs, and for each row or block of rows of the weight.
bool multiplies_int8(const WeightFormat& format);

/// Whether they also take rows of this length.
bool runs_int8(const WeightFormat& format, std::int64_t in_features);

/// Rows up to which projections of E4M3 by E4M3 run by kernels::float8_gemm() on the current device
/// where float8_gemm_sm90() does not. Errors: kernels::LaunchError when a CUDA call fails.
std::int64_t most_float8_gemm_rows();

/// The kernel of such a projection: int8_gemm_sm90 or int8_gemm where runs_int8(), else
/// float8_gemm_sm90, float8_gemm or round_numbers. Pointers are aligned to 16 bytes.
ProjectionKernel rounded_projection_kernel(const Projection& projection, const OpContext& context);

constexpr bool is_int8_kernel(ProjectionKernel kernel) {
  return kernel == ProjectionKernel::int8_gemm || kernel == ProjectionKernel::int8_gemm_sm90;
}

constexpr bool is_float8_kernel(ProjectionKernel kernel) {
  return kernel == ProjectionKernel::float8_gemm || kernel == ProjectionKernel::float8_gemm_sm90;
}

/// Allocates rows rounded to int8 from the workspace.
kernels::RoundedRows take_rounded_rows(Workspace& workspace, std::int64_t num_rows,
                                       std::int64_t in_features);

/// Runs a projection of rounded rows with one of the int8 kernels.
void project_int8(ProjectionKernel kernel, const Projection& projection,
                  const kernels::RoundedRows& rows, const OpContext& context);

/// Allocates rows rounded to E4M3 from the workspace.
kernels::Float8Rows take_float8_rows(Workspace& workspace, std::int64_t num_rows,
                                     std::int64_t in_features);

/// Runs a projection of such rows with one of the float8 kernels.
void project_float8(ProjectionKernel kernel, const Projection& projection,
                    const kernels::Float8Rows& rows, const OpContext& context);

/// Runs a projection whose input rows are in memory, with rounded_projection_kernel().
void project_rounded(const Projection& projection, Workspace& workspace, const OpContext& context);

/// Allocates the scratch of the functions above for up to `num_rows` rows of `activation`; where
/// runs_int8() is false without that of project() for the rounded inputs.
void plan_rounded_projection(Workspace& workspace, std::int64_t num_rows, const WeightSpec& weight,
                             DType activation);

}  // namespace quern::cuda
