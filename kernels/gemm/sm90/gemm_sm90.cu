#include "kernels/gemm/sm90/gemm_kernel.cuh"
#include "kernels/gemm/sm90/gemm_sm90.h"

namespace quern::kernels {
namespace {

constexpr GemmSm90Layout kLayouts[] = {
    {256, 2, 1}, {192, 2, 1}, {128, 2, 1}, {256, 1, 1}, {192, 1, 1},
    {128, 1, 1}, {192, 1, 2}, {128, 1, 2}, {128, 1, 3},
};

GemmSizes sizes_of(const GemmSm90Params& p) {
  constexpr int kDepth = GemmBlock<__half, 256, 2, 1>::kDepth;
  return {p.num_rows, (p.in_features + kDepth - 1) / kDepth, p.epilogue, p.num_multiprocessors};
}

template <typename T, typename Block>
void launch_block(const GemmSm90Params& p, const GemmSm90Layout& layout, cudaStream_t stream) {
  GemmSm90KernelParams params;
  params.rows = make_tensor_map({.dtype = p.dtype,
                                 .data = p.in,
                                 .rows = p.num_rows,
                                 .columns = p.in_features,
                                 .box_rows = Block::kRows},
                                "the rows of a product");
  params.weights = make_tensor_map({.dtype = p.dtype,
                                    .data = p.weight,
                                    .rows = p.epilogue.weight_rows(),
                                    .columns = p.in_features,
                                    .box_rows = Block::kBoxRows},
                                   "the weight of a product");
  launch_gemm<T, Block>(params, sizes_of(p), layout, p.use_pdl, stream);
}

}  // namespace

std::span<const GemmSm90Layout> gemm_sm90_layouts() { return kLayouts; }

bool has_gemm_sm90() { return has_gemm_code<GemmBlock<__half, 256, 2, 1>>(); }

bool gemm_sm90_supports(const GemmSm90Params& p) {
  constexpr std::int64_t kElements = 8;  // of 16 bytes
  return p.dtype != DType::float32 && p.epilogue.out_dtype == p.dtype &&
         p.in_features % kElements == 0 && p.epilogue.out_features % kElements == 0 &&
         p.epilogue.activation != Activation::gelu;
}

void gemm_sm90(const GemmSm90Params& p, cudaStream_t stream) {
  const GemmSm90Layout layout = p.layout ? *p.layout : best_gemm_layout(sizes_of(p), kLayouts);
  dispatch_half(p.dtype, "gemm_sm90", [&]<typename T>() {
    dispatch_layout<kLayouts>(layout, "gemm_sm90", [&](auto index) {
      constexpr GemmSm90Layout kLayout = kLayouts[index];
      using Block = GemmBlock<T, kLayout.width, kLayout.pair, kLayout.splits>;
      launch_block<T, Block>(p, layout, stream);
    });
  });
}

}  // namespace quern::kernels
