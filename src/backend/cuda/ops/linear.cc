#include "backend/cuda/ops/ops.h"
#include "backend/cuda/ops/projection.h"

namespace quern::cuda {
namespace {

Projection projection_of(const Linear& op, const Step& step) {
  const Tensor& in = step.value(op.in);
  QUERN_CHECK(in.row_stride == in.cols);
  Projection projection;
  projection.in = in.data;
  projection.in_dtype = in.dtype;
  projection.num_rows = step.batch.num_rows(op.rows);
  projection.weight = &step.weight(op.weight);
  projection.epilogue = make_epilogue(
      step.value(op.out), op.bias ? &step.weight(*op.bias) : nullptr, Activation::none, false);
  check_shapes(projection, in.cols);
  return projection;
}

}  // namespace

std::optional<kernels::GemvParams> gemv_of(const Linear& op, const Step& step,
                                           const OpContext& context) {
  const Projection projection = projection_of(op, step);
  if (projection.num_rows != 1 ||
      projection_kernel(projection, context) != ProjectionKernel::gemv) {
    return std::nullopt;
  }
  return gemv_params(projection, context);
}

void run_linear(const Linear& op, const Step& step, const OpContext& context) {
  const Projection projection = projection_of(op, step);
  if (projection.num_rows == 0) return;
  Workspace workspace(step.workspace);
  project(projection, workspace, context);
}

std::size_t linear_workspace_bytes(const Linear& op, const Graph& graph, const Limits& limits) {
  Workspace workspace;
  plan_projection(workspace, limits.max_rows(op.rows), graph.weight(op.weight),
                  graph.activation_dtype, Activation::none);
  return workspace.used_bytes();
}

}  // namespace quern::cuda
