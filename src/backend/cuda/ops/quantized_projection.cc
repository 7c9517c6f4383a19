#include "backend/cuda/ops/quantized_projection.h"

#include <algorithm>

#include "kernels/quant/dequantize.h"
#include "kernels/quant/gather_inputs.h"
#include "kernels/quant/sm90/quantized_gemm_sm90.h"

namespace quern::cuda {
namespace {

// Kernels do not include headers of weights: this keeps the two descriptions in agreement.
static_assert(kernels::kQuantTileRows == TileGeometry::kTileRows);
static_assert(kernels::kQuantTileBytes == TileGeometry::kTileBytes);

/// Parameters common to both kernels.
template <typename Params>
Params quantized_params(const Projection& projection, const OpContext& context) {
  Params params;
  params.dtype = projection.in_dtype;
  params.num_rows = static_cast<decltype(params.num_rows)>(projection.num_rows);
  params.weight = kernel_weight(*projection.weight);
  params.in = projection.in;
  params.epilogue = projection.epilogue;
  params.num_multiprocessors = context.num_multiprocessors;
  params.use_pdl = context.use_pdl;
  return params;
}

std::byte* take_matrix(Workspace& workspace, std::int64_t rows, std::int64_t cols, DType dtype) {
  return workspace.take<std::byte>(rows * cols * static_cast<std::int64_t>(dtype_bytes(dtype)));
}

std::byte* take_gathered(Workspace& workspace, std::int64_t rows, std::int64_t cols) {
  return take_matrix(workspace, rows, cols, DType::float16);
}

}  // namespace

kernels::QuantizedWeight kernel_weight(const Weight& weight) {
  const WeightFormat& format = weight.format;
  kernels::QuantizedWeight params;
  params.stored = format.stored;
  params.is_tiled = weight.layout == WeightLayout::tiles;
  params.weight_rows = weight.out_features;
  params.in_features = weight.in_features;
  params.values = weight.values.row<const std::uint8_t>(0);
  params.scales = weight.scales.data;
  params.scale_dtype = weight.scales.dtype;
  if (format.has_zero_points) params.zero_points = weight.zero_points.row<std::uint8_t>(0);
  if (format.permuted_inputs) {
    params.input_permutation = weight.input_permutation.row<std::int32_t>(0);
  }
  if (params.is_tiled) {
    const TileGeometry tiles = TileGeometry::of(format, weight.shape());
    QUERN_CHECK(tiles.tile_inputs == kernels::quant_tile_inputs(format.stored));
    params.group_size = tiles.group_size;
    params.num_groups = tiles.num_groups;
  } else {
    params.group_size = format.group_size == 0 ? weight.in_features : format.group_size;
    params.group_rows = format.group_rows == 0 ? weight.out_features : format.group_rows;
    params.num_groups = weight.scales.cols;
  }
  return params;
}

kernels::QuantizedGemvParams quantized_gemv_params(const Projection& projection,
                                                   const OpContext& context) {
  return quantized_params<kernels::QuantizedGemvParams>(projection, context);
}

bool serves_quantized(ProjectionKernel kernel, const Projection& projection,
                      const OpContext& context) {
  const bool is_aligned = reinterpret_cast<std::uintptr_t>(projection.in) % 16 == 0;
  if (kernel == ProjectionKernel::quantized_gemv) {
    return is_aligned &&
           kernels::quantized_gemv_supports(quantized_gemv_params(projection, context));
  }
  if (kernel == ProjectionKernel::quantized_gemm_sm90) {
    return is_aligned && context.sm90_gemm &&
           kernels::quantized_gemm_sm90_supports(
               quantized_params<kernels::QuantizedGemmParams>(projection, context));
  }
  if (kernel == ProjectionKernel::quantized_gemm) {
    return is_aligned && kernels::quantized_gemm_supports(
                             quantized_params<kernels::QuantizedGemmParams>(projection, context));
  }
  return kernel == ProjectionKernel::dequantize;
}

void project_quantized(ProjectionKernel kernel, const Projection& projection, Workspace& workspace,
                       const OpContext& context) {
  Projection ordered = projection;
  const Weight& weight = *projection.weight;
  if (weight.format.permuted_inputs) {
    kernels::GatherInputsParams gather;
    gather.in = projection.in;
    gather.permutation = weight.input_permutation.row<std::int32_t>(0);
    gather.out = take_gathered(workspace, projection.num_rows, weight.in_features);
    gather.num_rows = projection.num_rows;
    gather.in_features = weight.in_features;
    gather.use_pdl = context.use_pdl;
    kernels::gather_inputs(gather, context.stream);
    ordered.in = gather.out;
  }
  if (kernel == ProjectionKernel::quantized_gemv) {
    return kernels::quantized_gemv(quantized_gemv_params(ordered, context), context.stream);
  }
  const auto params = quantized_params<kernels::QuantizedGemmParams>(ordered, context);
  if (kernel == ProjectionKernel::quantized_gemm_sm90) {
    return kernels::quantized_gemm_sm90(params, context.stream);
  }
  QUERN_CHECK(kernel == ProjectionKernel::quantized_gemm);
  kernels::quantized_gemm(params, context.stream);
}

Weight dequantize(const Projection& projection, Workspace& workspace, const OpContext& context) {
  const Weight& weight = *projection.weight;
  kernels::DequantizeParams params;
  params.weight = kernel_weight(weight);
  params.dtype = projection.in_dtype;
  params.out = take_matrix(workspace, weight.out_features, weight.in_features, projection.in_dtype);
  params.use_pdl = context.use_pdl;
  kernels::dequantize(params, context.stream);
  return row_major_weight({.stored = params.dtype}, weight.shape(),
                          static_cast<std::byte*>(params.out), weight.values.device);
}

void plan_quantized_projection(Workspace& workspace, std::int64_t num_rows,
                               const WeightShape& shape, DType activation) {
  const std::int64_t rows = std::min<std::int64_t>(num_rows, kernels::kMaxQuantizedGemmSm90Rows);
  take_gathered(workspace, rows, shape.in_features);
  take_matrix(workspace, shape.out_features, shape.in_features, activation);
}

}  // namespace quern::cuda
