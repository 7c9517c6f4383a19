#include "backend/cuda/ops/ops.h"
#include "backend/cuda/ops/projection.h"
#include "backend/cuda/ops/quantized_projection.h"
#include "backend/cuda/ops/rounded_projection.h"
#include "kernels/norm/norm.h"

namespace quern::cuda {
namespace {

const float* vector_of(const Step& step, WeightId id) {
  return step.weight(id).values.row<float>(0);
}

kernels::NormInput norm_input(const NormLinear& op, const Step& step) {
  const Tensor& residual = step.value(op.residual);
  QUERN_CHECK(residual.dtype == DType::float32 && residual.row_stride == residual.cols);
  kernels::NormInput input;
  input.dtype = step.activation_dtype;
  input.residual = residual.row<float>(0);
  if (op.delta) {
    const Tensor& delta = step.value(*op.delta);
    QUERN_CHECK(delta.cols == residual.cols && delta.row_stride == residual.cols &&
                delta.dtype == input.dtype);
    input.delta = delta.data;
  }
  if (op.in_rows != op.out_rows) input.token_rows = step.batch.logit_rows;
  input.in_features = static_cast<int>(residual.cols);
  input.kind = op.norm == NormKind::rms ? kernels::NormKind::rms : kernels::NormKind::layer;
  input.epsilon = op.epsilon;
  input.gain = vector_of(step, op.gain);
  if (op.norm_bias) input.bias = vector_of(step, *op.norm_bias);
  return input;
}

float* residual_out_of(const NormLinear& op, const Step& step) {
  if (!op.residual_out) return nullptr;
  const Tensor& residual_out = step.value(*op.residual_out);
  QUERN_CHECK(residual_out.dtype == DType::float32 &&
              residual_out.row_stride == step.value(op.residual).cols);
  return residual_out.row<float>(0);
}

std::byte* take_normed(Workspace& workspace, std::int64_t rows, std::int64_t cols, DType dtype) {
  return workspace.take<std::byte>(rows * cols * static_cast<std::int64_t>(dtype_bytes(dtype)));
}

kernels::NormParams norm_params(const NormLinear& op, const Step& step, const OpContext& context) {
  kernels::NormParams norm;
  norm.input = norm_input(op, step);
  norm.residual_out = residual_out_of(op, step);
  norm.use_pdl = context.use_pdl;
  norm.num_rows = step.batch.num_rows(op.out_rows);
  return norm;
}

/// The projection, without its rows.
Projection projection_of(const NormLinear& op, const Step& step, const kernels::NormParams& norm) {
  Projection projection;
  projection.in_dtype = norm.input.dtype;
  projection.num_rows = norm.num_rows;
  projection.weight = &step.weight(op.weight);
  projection.epilogue = make_epilogue(
      step.value(op.out), op.bias ? &step.weight(*op.bias) : nullptr, op.activation, op.gated);
  check_shapes(projection, norm.input.in_features);
  return projection;
}

/// Whether one kernel of a single row computes the norm, too.
bool fuses_norm(const Projection& projection) {
  return projection.num_rows == 1 && kernels::is_fused_activation(projection.epilogue.activation) &&
         !rounds_inputs(projection.weight->format);
}

template <typename Params>
Params with_norm(Params params, const kernels::NormParams& norm) {
  params.norm = norm.input;
  params.residual_out = norm.residual_out;
  return params;
}

}  // namespace

std::optional<kernels::GemvParams> gemv_of(const NormLinear& op, const Step& step,
                                           const OpContext& context) {
  const kernels::NormParams norm = norm_params(op, step, context);
  const Projection projection = projection_of(op, step, norm);
  if (!fuses_norm(projection) || projection_kernel(projection, context) != ProjectionKernel::gemv) {
    return std::nullopt;
  }
  return with_norm(gemv_params(projection, context), norm);
}

void run_norm_linear(const NormLinear& op, const Step& step, const OpContext& context) {
  kernels::NormParams norm = norm_params(op, step, context);
  Projection projection = projection_of(op, step, norm);
  if (norm.num_rows == 0) return;
  Workspace workspace(step.workspace);
  const bool is_fused = kernels::is_fused_activation(projection.epilogue.activation);
  if (is_fused && rounds_inputs(projection.weight->format)) {
    const ProjectionKernel kernel = rounded_projection_kernel(projection, context);
    if (is_int8_kernel(kernel)) {
      kernels::RoundedNormParams rounded;
      rounded.input = norm.input;
      rounded.num_rows = norm.num_rows;
      rounded.residual_out = norm.residual_out;
      rounded.out = take_rounded_rows(workspace, norm.num_rows, norm.input.in_features);
      rounded.use_pdl = context.use_pdl;
      kernels::rounded_norm(rounded, context.stream);
      return project_int8(kernel, projection, rounded.out, context);
    }
    if (is_float8_kernel(kernel) && kernels::float8_norm_supports(norm.input.in_features)) {
      kernels::Float8NormParams rounded;
      rounded.input = norm.input;
      rounded.num_rows = norm.num_rows;
      rounded.residual_out = norm.residual_out;
      rounded.out = take_float8_rows(workspace, norm.num_rows, norm.input.in_features);
      rounded.use_pdl = context.use_pdl;
      kernels::float8_norm(rounded, context.stream);
      return project_float8(kernel, projection, rounded.out, context);
    }
  } else if (fuses_norm(projection)) {
    const ProjectionKernel kernel = projection_kernel(projection, context);
    if (kernel == ProjectionKernel::gemv) {
      return kernels::gemv(with_norm(gemv_params(projection, context), norm), context.stream);
    }
    if (kernel == ProjectionKernel::quantized_gemv && !projection.weight->format.permuted_inputs) {
      return kernels::quantized_gemv(with_norm(quantized_gemv_params(projection, context), norm),
                                     context.stream);
    }
  }
  norm.out = take_normed(workspace, norm.num_rows, norm.input.in_features, norm.input.dtype);
  kernels::norm(norm, context.stream);
  projection.in = norm.out;
  project(projection, workspace, context);
}

std::size_t norm_linear_workspace_bytes(const NormLinear& op, const Graph& graph,
                                        const Limits& limits) {
  Workspace workspace;
  const int rows = limits.max_rows(op.out_rows);
  take_normed(workspace, rows, graph.value(op.residual).cols, graph.activation_dtype);
  plan_projection(workspace, rows, graph.weight(op.weight), graph.activation_dtype, op.activation);
  return workspace.used_bytes();
}

}  // namespace quern::cuda
