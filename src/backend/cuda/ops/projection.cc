#include "backend/cuda/ops/projection.h"

#include <algorithm>

#include "backend/cuda/driver/cublaslt.h"
#include "backend/cuda/ops/quantized_projection.h"
#include "backend/cuda/ops/rounded_projection.h"
#include "kernels/gemm/reference_gemm.h"
#include "kernels/gemm/sm90/gemm_sm90.h"

namespace quern::cuda {
namespace {

/// Maximum number of float32 products before an epilogue; larger M is processed in row blocks.
constexpr std::int64_t kMaxProducts = std::int64_t{16} << 20;
constexpr std::int64_t kFewestBandRows = 64;

// Kernels do not include graph headers: this keeps the two enums in agreement.
constexpr kernels::Activation kernel_activation(Activation activation) {
  return static_cast<kernels::Activation>(activation);
}
#define QUERN_SAME_ACTIVATION(name) \
  static_assert(kernel_activation(Activation::name) == kernels::Activation::name)
QUERN_SAME_ACTIVATION(none);
QUERN_SAME_ACTIVATION(silu);
QUERN_SAME_ACTIVATION(gelu);
QUERN_SAME_ACTIVATION(gelu_tanh);
QUERN_SAME_ACTIVATION(relu);
QUERN_SAME_ACTIVATION(quick_gelu);
QUERN_SAME_ACTIVATION(gelu_10);
QUERN_SAME_ACTIVATION(relu_squared);
QUERN_SAME_ACTIVATION(relu6);
QUERN_SAME_ACTIVATION(leaky_relu);
QUERN_SAME_ACTIVATION(tanh);
QUERN_SAME_ACTIVATION(sigmoid);
QUERN_SAME_ACTIVATION(mish);
QUERN_SAME_ACTIVATION(hardswish);
QUERN_SAME_ACTIVATION(laplace);
QUERN_SAME_ACTIVATION(sqrt_softplus);
#undef QUERN_SAME_ACTIVATION

/// Up to this many rows the library is never used: see GemmCrossover.
constexpr std::int64_t kMostRowsWithoutLibrary = GemmCrossover{}.rows_of_large;

struct LibraryScratch {
  std::span<std::byte> workspace;
  Products products;
};

LibraryScratch take_library_scratch(Workspace& workspace, std::int64_t num_rows,
                                    std::int64_t weight_rows) {
  constexpr auto kBytes = static_cast<std::int64_t>(CublasLt::kWorkspaceBytes);
  LibraryScratch scratch;
  scratch.workspace = {workspace.take<std::byte>(kBytes), CublasLt::kWorkspaceBytes};
  scratch.products = take_products(workspace, num_rows, weight_rows);
  return scratch;
}

/// Whether the kernels with 16-byte loads and a single dtype support a projection.
bool is_regular(const Projection& projection) {
  const auto is_aligned = [](const void* data) {
    return reinterpret_cast<std::uintptr_t>(data) % 16 == 0;
  };
  const std::int64_t row_bytes =
      projection.weight->in_features * static_cast<std::int64_t>(dtype_bytes(projection.in_dtype));
  return projection.weight->format.stored == projection.in_dtype && row_bytes % 16 == 0 &&
         is_aligned(projection.in) && is_aligned(projection.weight->values.data) &&
         is_aligned(projection.epilogue.out);
}

/// Whether there is no epilogue, so that the library can write `out`.
bool is_product_alone(const kernels::Epilogue& epilogue) {
  return epilogue.bias == nullptr && epilogue.activation == kernels::Activation::none &&
         !epilogue.gated;
}

/// The library is slow if its output rows are not aligned.
bool fits_library(const Projection& projection) {
  const kernels::Epilogue& epilogue = projection.epilogue;
  const DType dtype = is_product_alone(epilogue) ? epilogue.out_dtype : DType::float32;
  return epilogue.weight_rows() * static_cast<std::int64_t>(dtype_bytes(dtype)) % 16 == 0;
}

const std::byte* row_of(const void* matrix, DType dtype, std::int64_t cols, std::int64_t row) {
  return static_cast<const std::byte*>(matrix) +
         row * cols * static_cast<std::int64_t>(dtype_bytes(dtype));
}

/// Without an epilogue the library rounds its products to the dtype of `out`.
void project_by_library(const Projection& projection, const LibraryScratch& scratch,
                        const OpContext& context) {
  const kernels::Epilogue& epilogue = projection.epilogue;
  MatrixProduct product;
  product.dtype = projection.in_dtype;
  product.num_rows = projection.num_rows;
  product.in_features = projection.weight->in_features;
  product.out_features = projection.weight->out_features;
  product.in = projection.in;
  product.weight = projection.weight->values.data;
  if (is_product_alone(epilogue)) {
    product.out_dtype = epilogue.out_dtype;
    product.out = epilogue.out;
    context.cublaslt->multiply(product, scratch.workspace, context.stream);
    return;
  }
  product.out = scratch.products.data;
  for_each_block(projection, scratch.products, nullptr, context, [&](const Projection& block) {
    product.num_rows = block.num_rows;
    product.in = block.in;
    context.cublaslt->multiply(product, scratch.workspace, context.stream);
  });
}

/// Whether gemm_sm90() is faster than the library with its epilogue, as whole models measured on an
/// H100 (docs/adr/0016).
bool is_ahead_of_library(const Projection& projection) {
  constexpr std::int64_t kFewRows = 512;
  constexpr std::int64_t kManyRows = 2048;
  constexpr std::int64_t kSmallWeight = std::int64_t{1} << 24;  // elements
  const std::int64_t rows = projection.num_rows;
  if (is_product_alone(projection.epilogue)) return rows > kFewRows && rows <= kManyRows;
  return rows > kFewRows ||
         projection.weight->out_features * projection.weight->in_features > kSmallWeight;
}

/// Parameters common to the launches of our kernels.
template <typename Params>
Params params_of(const Projection& projection, const OpContext& context) {
  Params params;
  params.dtype = projection.in_dtype;
  params.num_rows = static_cast<decltype(params.num_rows)>(projection.num_rows);
  params.in_features = projection.weight->in_features;
  params.weight = projection.weight->values.data;
  params.in = projection.in;
  params.epilogue = projection.epilogue;
  params.num_multiprocessors = context.num_multiprocessors;
  params.use_pdl = context.use_pdl;
  return params;
}

kernels::GemmSm90Params gemm_sm90_params(const Projection& projection, const OpContext& context) {
  return params_of<kernels::GemmSm90Params>(projection, context);
}

/// Whether a kernel takes the sizes and the alignment of a projection.
bool serves(ProjectionKernel kernel, const Projection& projection, const OpContext& context) {
  const std::int64_t in_features = projection.weight->in_features;
  switch (kernel) {
    case ProjectionKernel::gemv:
      return is_regular(projection) &&
             kernels::gemv_supports(projection.in_dtype, projection.num_rows, in_features);
    case ProjectionKernel::gemm_sm90:
      return context.sm90_gemm && is_regular(projection) && is_ahead_of_library(projection) &&
             kernels::gemm_sm90_supports(gemm_sm90_params(projection, context));
    case ProjectionKernel::cublaslt:
      return is_regular(projection) && fits_library(projection);
    case ProjectionKernel::skinny_gemm:
      return is_regular(projection) &&
             kernels::skinny_gemm_supports(projection.in_dtype, in_features);
    case ProjectionKernel::reference_gemm:
      return true;
    case ProjectionKernel::quantized_gemv:
    case ProjectionKernel::quantized_gemm_sm90:
    case ProjectionKernel::quantized_gemm:
    case ProjectionKernel::dequantize:
      return serves_quantized(kernel, projection, context);
    case ProjectionKernel::int8_gemm_sm90:
    case ProjectionKernel::int8_gemm:
    case ProjectionKernel::float8_gemm_sm90:
    case ProjectionKernel::float8_gemm:
    case ProjectionKernel::round_numbers:
      break;  // not in the table
  }
  return false;
}

void project_by_reference(const Projection& projection, const OpContext& context) {
  kernels::ReferenceGemmParams params;
  params.num_rows = projection.num_rows;
  params.in_features = projection.weight->in_features;
  params.weight = projection.weight->values.data;
  params.weight_dtype = projection.weight->format.stored;
  params.in = projection.in;
  params.in_dtype = projection.in_dtype;
  params.epilogue = projection.epilogue;
  kernels::reference_gemm(params, context.stream);
}

/// A projection whose activation the kernels do not fuse: the products alone, then the epilogue.
void project_then_activate(const Projection& projection, Workspace& workspace,
                           const OpContext& context) {
  const std::int64_t weight_rows = projection.epilogue.weight_rows();
  const Products products = take_products(workspace, projection.num_rows, weight_rows);
  for_each_block(projection, products, nullptr, context, [&](Projection block) {
    block.epilogue = {};
    block.epilogue.out = products.data;
    block.epilogue.out_features = weight_rows;
    Workspace scratch = workspace;  // the same for each block
    project(block, scratch, context);
  });
}

}  // namespace

Products take_products(Workspace& workspace, std::int64_t num_rows, std::int64_t weight_rows) {
  Products products;
  products.block_rows = std::min(num_rows, std::max(kFewestBandRows, kMaxProducts / weight_rows));
  products.data = workspace.take<float>(products.block_rows * weight_rows);
  return products;
}

void for_each_block(const Projection& projection, const Products& products, const float* row_scales,
                    const OpContext& context,
                    const std::function<void(const Projection& block)>& multiply) {
  const kernels::Epilogue& epilogue = projection.epilogue;
  for (std::int64_t row = 0; row < projection.num_rows; row += products.block_rows) {
    Projection block = projection;
    block.num_rows = std::min(products.block_rows, projection.num_rows - row);
    block.in = row_of(projection.in, projection.in_dtype, projection.weight->in_features, row);
    multiply(block);
    kernels::ApplyEpilogueParams params;
    params.products = products.data;
    if (row_scales != nullptr) params.row_scales = row_scales + row;
    params.num_rows = block.num_rows;
    params.epilogue = epilogue;
    params.epilogue.out = const_cast<std::byte*>(
        row_of(epilogue.out, epilogue.out_dtype, epilogue.out_features, row));
    params.use_pdl = context.use_pdl;
    kernels::apply_epilogue(params, context.stream);
  }
}

kernels::Epilogue make_epilogue(const Tensor& out, const Weight* bias, Activation activation,
                                bool gated) {
  QUERN_CHECK(out.row_stride == out.cols);
  kernels::Epilogue epilogue;
  epilogue.bias = bias != nullptr ? bias->values.row<float>(0) : nullptr;
  epilogue.activation = kernel_activation(activation);
  epilogue.gated = gated;
  epilogue.out = out.data;
  epilogue.out_features = out.cols;
  epilogue.out_dtype = out.dtype;
  return epilogue;
}

void check_shapes(const Projection& projection, std::int64_t in_features) {
  const Weight& weight = *projection.weight;
  QUERN_CHECK(weight.in_features == in_features &&
              weight.out_features == projection.epilogue.weight_rows());
  QUERN_CHECK(weight.format.is_quantized() || weight.values.row_stride == weight.in_features);
}

ProjectionKernel projection_kernel(const Projection& projection, const OpContext& context) {
  const Weight& weight = *projection.weight;
  if (rounds_inputs(weight.format)) return rounded_projection_kernel(projection, context);
  const ProjectionCase wanted = {.activation = projection.in_dtype,
                                 .stored = weight.format.stored,
                                 .layout = weight.layout,
                                 .num_rows = projection.num_rows,
                                 .weight_elements = weight.out_features * weight.in_features};
  return find_projection_kernel(wanted, context.gemm_crossover, [&](ProjectionKernel kernel) {
    return serves(kernel, projection, context);
  });
}

kernels::GemvParams gemv_params(const Projection& projection, const OpContext& context) {
  return params_of<kernels::GemvParams>(projection, context);
}

kernels::SkinnyGemmParams skinny_gemm_params(const Projection& projection,
                                             const OpContext& context) {
  return params_of<kernels::SkinnyGemmParams>(projection, context);
}

void project(const Projection& projection, Workspace& workspace, const OpContext& context) {
  if (!kernels::is_fused_activation(projection.epilogue.activation)) {
    return project_then_activate(projection, workspace, context);
  }
  const ProjectionKernel kernel = projection_kernel(projection, context);
  switch (kernel) {
    case ProjectionKernel::gemv:
      return kernels::gemv(gemv_params(projection, context), context.stream);
    case ProjectionKernel::skinny_gemm:
      return kernels::skinny_gemm(skinny_gemm_params(projection, context), context.stream);
    case ProjectionKernel::gemm_sm90:
      return kernels::gemm_sm90(gemm_sm90_params(projection, context), context.stream);
    case ProjectionKernel::cublaslt:
      return project_by_library(
          projection,
          take_library_scratch(workspace, projection.num_rows, projection.weight->out_features),
          context);
    case ProjectionKernel::reference_gemm:
      return project_by_reference(projection, context);
    case ProjectionKernel::quantized_gemv:
    case ProjectionKernel::quantized_gemm_sm90:
    case ProjectionKernel::quantized_gemm:
      return project_quantized(kernel, projection, workspace, context);
    case ProjectionKernel::dequantize: {
      const Weight numbers = dequantize(projection, workspace, context);
      Projection dequantized = projection;
      dequantized.weight = &numbers;
      // Kernels read weights before earlier kernels have ended (PDL): these are not written yet.
      OpContext after = context;
      after.use_pdl = false;
      return project(dequantized, workspace, after);
    }
    case ProjectionKernel::int8_gemm_sm90:
    case ProjectionKernel::int8_gemm:
    case ProjectionKernel::float8_gemm_sm90:
    case ProjectionKernel::float8_gemm:
    case ProjectionKernel::round_numbers:
      return project_rounded(projection, workspace, context);
  }
}

void plan_projection(Workspace& workspace, std::int64_t num_rows, const WeightSpec& weight,
                     DType dtype, Activation activation) {
  if (!kernels::is_fused_activation(kernel_activation(activation))) {
    take_products(workspace, num_rows, weight.out_features);
  }
  if (rounds_inputs(weight.format)) {
    plan_rounded_projection(workspace, num_rows, weight, dtype);
    if (runs_int8(weight.format, weight.in_features)) return;
  }
  if (weight.format.is_quantized()) {
    plan_quantized_projection(workspace, num_rows, weight.shape(), dtype);
  }
  if (num_rows > kMostRowsWithoutLibrary) {
    take_library_scratch(workspace, num_rows, weight.out_features);
  }
}

}  // namespace quern::cuda
