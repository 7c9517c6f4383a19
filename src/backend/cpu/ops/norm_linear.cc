#include <algorithm>

#include "backend/cpu/gemm/projection.h"
#include "backend/cpu/ops/norm.h"
#include "backend/cpu/ops/ops.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/views.h"
#include "base/half.h"

namespace quern::cpu {
namespace {

struct NormLinearScratch {
  Tensor normed;  ///< [rows, in_features] float32, rounded
  ProjectionScratch projection;
};

NormLinearScratch take_norm_linear_scratch(Workspace& workspace, std::int64_t rows,
                                           std::int64_t in_features, const WeightFormat& format,
                                           int threads) {
  return {float_view(workspace.take<float>(rows * in_features), rows, in_features),
          take_projection_scratch(workspace, rows, in_features, format, threads)};
}

/// out = residual (+ delta) of one row.
void add_delta(const NormLinear& op, const Step& step, std::int64_t row, std::span<float> out) {
  const std::span<const float> residual = float_row(step.value(op.residual), row);
  if (!op.delta) {
    std::copy(residual.begin(), residual.end(), out.begin());
    return;
  }
  const Tensor& delta = step.value(*op.delta);
  load_floats(delta.dtype, element(delta, row, 0), out);
  for (std::size_t i = 0; i < out.size(); ++i) out[i] += residual[i];
}

void normalize(const NormLinear& op, const Step& step, std::span<float> values) {
  const float* gain = step.weight(op.gain).values.row<float>(0);
  if (op.norm == NormKind::rms) {
    rms_norm(values, gain, op.epsilon);
  } else {
    const float* bias = op.norm_bias ? step.weight(*op.norm_bias).values.row<float>(0) : nullptr;
    layer_norm(values, gain, bias, op.epsilon);
  }
  round_floats(step.activation_dtype, values);
}

}  // namespace

void run_norm_linear(const NormLinear& op, const Step& step, ThreadPool& pool) {
  const BatchView& batch = step.batch;
  const std::int64_t rows = batch.num_rows(op.out_rows);
  const bool chooses = op.in_rows != op.out_rows;
  const std::int64_t in_features = step.value(op.residual).cols;
  Workspace workspace(step.workspace);
  const NormLinearScratch scratch = take_norm_linear_scratch(
      workspace, rows, in_features, step.weight(op.weight).format, pool.num_threads());

  constexpr std::int64_t kElementCost = 4;  // sum, norm and rounding, in multiply-adds
  const std::int64_t work = rows * in_features * kElementCost;
  parallel_for(pool, work, rows, [&](std::int64_t row, int) {
    const std::span<float> values = float_row(scratch.normed, row);
    add_delta(op, step, chooses ? batch.logit_rows[row] : row, values);
    if (op.residual_out) {
      std::copy(values.begin(), values.end(), float_row(step.value(*op.residual_out), row).begin());
    }
    normalize(op, step, values);
  });
  project({.in = scratch.normed,
           .weight = &step.weight(op.weight),
           .bias = op.bias ? &step.weight(*op.bias) : nullptr,
           .activation = op.activation,
           .gated = op.gated,
           .out = row_slice(step.value(op.out), 0, rows)},
          scratch.projection, pool);
}

std::size_t norm_linear_workspace_bytes(const NormLinear& op, const Graph& graph,
                                        const Limits& limits, int threads) {
  Workspace workspace;
  const int rows = limits.max_rows(op.out_rows);
  take_norm_linear_scratch(workspace, rows, graph.value(op.residual).cols,
                           graph.weight(op.weight).format, threads);
  return workspace.used_bytes();
}

}  // namespace quern::cpu
