#include "backend/cpu/gemm/projection.h"
#include "backend/cpu/ops/ops.h"
#include "backend/cpu/parallel.h"
#include "backend/cpu/views.h"
#include "base/half.h"

namespace quern::cpu {
namespace {

struct LinearScratch {
  Tensor widened;  ///< [rows, in_features] float32, for 16-bit activations
  ProjectionScratch projection;
};

LinearScratch take_linear_scratch(Workspace& workspace, std::int64_t rows, std::int64_t in_features,
                                  DType dtype, const WeightFormat& format, int threads) {
  const std::int64_t widened = dtype == DType::float32 ? 0 : rows * in_features;
  return {float_view(workspace.take<float>(widened), rows, in_features),
          take_projection_scratch(workspace, rows, in_features, format, threads)};
}

}  // namespace

void run_linear(const Linear& op, const Step& step, ThreadPool& pool) {
  const std::int64_t rows = step.batch.num_rows(op.rows);
  Tensor in = row_slice(step.value(op.in), 0, rows);
  Workspace workspace(step.workspace);
  const LinearScratch scratch = take_linear_scratch(
      workspace, rows, in.cols, in.dtype, step.weight(op.weight).format, pool.num_threads());
  if (in.dtype != DType::float32) {
    parallel_for(pool, rows * in.cols, rows, [&](std::int64_t row, int) {
      load_floats(in.dtype, element(in, row, 0), float_row(scratch.widened, row));
    });
    in = scratch.widened;
  }
  project({.in = in,
           .weight = &step.weight(op.weight),
           .bias = op.bias ? &step.weight(*op.bias) : nullptr,
           .out = row_slice(step.value(op.out), 0, rows)},
          scratch.projection, pool);
}

std::size_t linear_workspace_bytes(const Linear& op, const Graph& graph, const Limits& limits,
                                   int threads) {
  Workspace workspace;
  const Value& in = graph.value(op.in);
  take_linear_scratch(workspace, limits.max_rows(op.rows), in.cols, in.dtype,
                      graph.weight(op.weight).format, threads);
  return workspace.used_bytes();
}

}  // namespace quern::cpu
