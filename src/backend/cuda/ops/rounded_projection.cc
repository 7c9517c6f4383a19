#include "backend/cuda/ops/rounded_projection.h"

#include <algorithm>
#include <limits>

#include "backend/cuda/ops/quantized_projection.h"
#include "kernels/quant/float8/float8_gemm.h"
#include "kernels/quant/rounded/int8_gemm.h"

namespace quern::cuda {
namespace {

/// Up to so many rows int8_gemm() and float8_gemm() run, with more those by wgmma where there are
/// some: measured with LLaMA-7B's sizes, int8 on an H100, E4M3 on an H200 at 16 and 64 rows.
constexpr std::int64_t kMostRowsWithoutWgmma = 16;

/// Up to so many rows float8_gemm() runs where tensor cores have no mma of E4M3: what it takes to
/// widen the numbers is less there than what other kernels take.
constexpr std::int64_t kMostFloat8RowsWithoutMma = 16;

/// Parameters common to the GEMMs of rounded inputs.
template <typename Params, typename Rows>
Params gemm_params(const Projection& projection, const Rows& rows, const OpContext& context) {
  Params params;
  params.in = rows;
  params.num_rows = projection.num_rows;
  params.weight = kernel_weight(*projection.weight);
  params.epilogue = projection.epilogue;
  params.num_multiprocessors = context.num_multiprocessors;
  params.use_pdl = context.use_pdl;
  return params;
}

kernels::Int8GemmParams int8_gemm_params(const Projection& projection,
                                         const kernels::RoundedRows& rows,
                                         const OpContext& context) {
  return gemm_params<kernels::Int8GemmParams>(projection, rows, context);
}

kernels::Float8GemmParams float8_gemm_params(const Projection& projection,
                                             const kernels::Float8Rows& rows,
                                             const OpContext& context) {
  return gemm_params<kernels::Float8GemmParams>(projection, rows, context);
}

bool is_aligned(const void* data) { return reinterpret_cast<std::uintptr_t>(data) % 16 == 0; }

/// The kernel of E4M3 rows, or round_numbers where none takes them.
ProjectionKernel float8_kernel(const Projection& projection, const OpContext& context) {
  const ActivationFormat by_row = {ActivationRounding::float8_e4m3};
  if (projection.weight->format.activation != by_row || projection.in_dtype == DType::float32 ||
      !is_aligned(projection.epilogue.out)) {
    return ProjectionKernel::round_numbers;
  }
  const kernels::Float8GemmParams params = float8_gemm_params(projection, {}, context);
  if (context.sm90_float8_gemm && projection.num_rows > kMostRowsWithoutWgmma &&
      kernels::float8_gemm_sm90_supports(params)) {
    return ProjectionKernel::float8_gemm_sm90;
  }
  if (projection.num_rows <= context.float8_gemm_rows && kernels::float8_gemm_supports(params)) {
    return ProjectionKernel::float8_gemm;
  }
  return ProjectionKernel::round_numbers;
}

/// Inputs of a scale.
std::int64_t inputs_of_scale(const Weight& weight) {
  const std::int64_t group_size = weight.format.activation.group_size;
  return group_size == 0 ? weight.in_features : std::min(group_size, weight.in_features);
}

std::byte* take_numbers(Workspace& workspace, std::int64_t rows, std::int64_t cols, DType dtype) {
  return workspace.take<std::byte>(rows * cols * static_cast<std::int64_t>(dtype_bytes(dtype)));
}

/// Multiplies values, which the activation dtype holds exactly, and scales the products' rows.
void project_scaled(const Projection& values, const float* scales, Workspace& workspace,
                    const OpContext& given) {
  OpContext context = given;
  Projection product = values;
  const std::int64_t weight_rows = values.weight->out_features;
  product.epilogue = {.out_features = weight_rows, .out_dtype = DType::float32};
  const Products products = take_products(workspace, values.num_rows, weight_rows);
  product.epilogue.out = products.data;
  Weight numbers;
  if (projection_kernel(product, context) == ProjectionKernel::dequantize) {
    numbers = dequantize(product, workspace, context);
    product.weight = &numbers;
    // Kernels read weights before earlier kernels have ended (PDL): these are not written yet.
    context.use_pdl = false;
  }
  for_each_block(values, products, scales, context, [&](const Projection& block) {
    product.num_rows = block.num_rows;
    product.in = block.in;
    Workspace rest = workspace;  // the same for each block
    project(product, rest, context);
  });
}

void project_rounded_numbers(const Projection& projection, Workspace& workspace,
                             const OpContext& context) {
  Weight weight = *projection.weight;
  const std::int64_t in_features = weight.in_features;
  kernels::RoundNumbersParams params;
  params.dtype = projection.in_dtype;
  params.in = projection.in;
  params.num_rows = projection.num_rows;
  params.in_features = in_features;
  params.rounding = weight.format.activation.rounding == ActivationRounding::int8
                        ? kernels::NumberRounding::int8
                        : kernels::NumberRounding::float8_e4m3;
  params.group_size = inputs_of_scale(weight);
  params.out = take_numbers(workspace, projection.num_rows, in_features, projection.in_dtype);
  auto* scales = workspace.take<float>(projection.num_rows);
  if (params.group_size == in_features) params.scales = scales;
  params.use_pdl = context.use_pdl;
  kernels::round_numbers(params, context.stream);
  weight.format.activation = {};
  Projection rounded = projection;
  rounded.weight = &weight;
  rounded.in = params.out;
  if (params.scales == nullptr) return project(rounded, workspace, context);
  project_scaled(rounded, scales, workspace, context);
}

}  // namespace

bool multiplies_int8(const WeightFormat& format) {
  return format.activation == ActivationFormat{ActivationRounding::int8} &&
         format.stored == DType::uint8 && format.group_size == 0 && !format.permuted_inputs;
}

bool runs_int8(const WeightFormat& format, std::int64_t in_features) {
  return multiplies_int8(format) && in_features % 16 == 0 && in_features <= kernels::kMaxInt8Inputs;
}

std::int64_t most_float8_gemm_rows() {
  if (!kernels::has_float8_gemm()) return 0;
  return kernels::has_float8_mma() ? std::numeric_limits<std::int64_t>::max()
                                   : kMostFloat8RowsWithoutMma;
}

ProjectionKernel rounded_projection_kernel(const Projection& projection, const OpContext& context) {
  const Weight& weight = *projection.weight;
  if (!runs_int8(weight.format, weight.in_features)) {
    return float8_kernel(projection, context);
  }
  QUERN_CHECK(is_aligned(projection.in) && is_aligned(weight.values.data) &&
              is_aligned(projection.epilogue.out));
  const kernels::Int8GemmParams params = int8_gemm_params(projection, {}, context);
  QUERN_CHECK(kernels::int8_gemm_supports(params));
  const bool by_wgmma = context.sm90_int8_gemm && projection.num_rows > kMostRowsWithoutWgmma &&
                        kernels::int8_gemm_sm90_supports(params);
  return by_wgmma ? ProjectionKernel::int8_gemm_sm90 : ProjectionKernel::int8_gemm;
}

kernels::RoundedRows take_rounded_rows(Workspace& workspace, std::int64_t num_rows,
                                       std::int64_t in_features) {
  kernels::RoundedRows rows;
  rows.values = workspace.take<std::int8_t>(num_rows * in_features);
  rows.scales = workspace.take<float>(num_rows);
  rows.sums = workspace.take<std::int32_t>(num_rows);
  return rows;
}

void project_int8(ProjectionKernel kernel, const Projection& projection,
                  const kernels::RoundedRows& rows, const OpContext& context) {
  const kernels::Int8GemmParams params = int8_gemm_params(projection, rows, context);
  if (kernel == ProjectionKernel::int8_gemm_sm90) {
    return kernels::int8_gemm_sm90(params, context.stream);
  }
  QUERN_CHECK(kernel == ProjectionKernel::int8_gemm);
  kernels::int8_gemm(params, context.stream);
}

kernels::Float8Rows take_float8_rows(Workspace& workspace, std::int64_t num_rows,
                                     std::int64_t in_features) {
  kernels::Float8Rows rows;
  rows.values = workspace.take<std::uint8_t>(num_rows * kernels::float8_row_bytes(in_features));
  rows.scales = workspace.take<float>(num_rows);
  return rows;
}

void project_float8(ProjectionKernel kernel, const Projection& projection,
                    const kernels::Float8Rows& rows, const OpContext& context) {
  const kernels::Float8GemmParams params = float8_gemm_params(projection, rows, context);
  if (kernel == ProjectionKernel::float8_gemm_sm90) {
    return kernels::float8_gemm_sm90(params, context.stream);
  }
  QUERN_CHECK(kernel == ProjectionKernel::float8_gemm);
  kernels::float8_gemm(params, context.stream);
}

void project_rounded(const Projection& projection, Workspace& workspace, const OpContext& context) {
  const ProjectionKernel kernel = rounded_projection_kernel(projection, context);
  if (is_float8_kernel(kernel)) {
    kernels::RoundFloat8Params params;
    params.dtype = projection.in_dtype;
    params.in = projection.in;
    params.num_rows = projection.num_rows;
    params.in_features = projection.weight->in_features;
    params.out = take_float8_rows(workspace, projection.num_rows, params.in_features);
    params.use_pdl = context.use_pdl;
    kernels::round_float8(params, context.stream);
    return project_float8(kernel, projection, params.out, context);
  }
  if (!is_int8_kernel(kernel)) return project_rounded_numbers(projection, workspace, context);
  kernels::RoundRowsParams params;
  params.dtype = projection.in_dtype;
  params.in = projection.in;
  params.num_rows = projection.num_rows;
  params.in_features = projection.weight->in_features;
  params.out = take_rounded_rows(workspace, projection.num_rows, params.in_features);
  params.use_pdl = context.use_pdl;
  kernels::round_rows(params, context.stream);
  project_int8(kernel, projection, params.out, context);
}

void plan_rounded_projection(Workspace& workspace, std::int64_t num_rows, const WeightSpec& weight,
                             DType activation) {
  if (runs_int8(weight.format, weight.in_features)) {
    take_rounded_rows(workspace, num_rows, weight.in_features);
    return;
  }
  // As numbers of the activation dtype or as bytes: the number of rows decides.
  const std::int64_t row_bytes =
      std::max(weight.in_features * static_cast<std::int64_t>(dtype_bytes(activation)),
               kernels::float8_row_bytes(weight.in_features));
  workspace.take<std::byte>(num_rows * row_bytes);
  workspace.take<float>(num_rows);
  take_products(workspace, num_rows, weight.out_features);
}

}  // namespace quern::cuda
