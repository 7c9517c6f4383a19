#include "kernels/gemm/sm90/gemm_kernel.cuh"
#include "kernels/quant/float8/float8_block.cuh"
#include "kernels/quant/float8/weight_tiles_map.h"

namespace quern::kernels {
namespace {

using WidestBlock = Float8GemmBlock<192, 2>;

constexpr GemmSm90Layout kLayouts[] = {
    {192, 2, 1},
    {128, 2, 1},
    {192, 1, 1},
    {128, 1, 1},
};

GemmSizes sizes_of(const Float8GemmParams& p) {
  constexpr int kDepth = WidestBlock::kDepth;
  return {p.num_rows, (p.weight.in_features + kDepth - 1) / kDepth, p.epilogue,
          p.num_multiprocessors};
}

template <typename T, typename Block>
void launch_block(const Float8GemmParams& p, const GemmSm90Layout& layout, cudaStream_t stream) {
  Float8GemmSm90KernelParams params;
  params.rows = make_tensor_map({.dtype = DType::uint8,
                                 .data = p.in.values,
                                 .rows = p.num_rows,
                                 .columns = float8_row_bytes(p.weight.in_features),
                                 .box_rows = Block::kRows,
                                 .box_columns = Block::kDepth},
                                "the rows of a product");
  params.weights = make_weight_tiles_map(p.weight, Block::kBoxRows);
  params.row_scales = p.in.scales;
  params.weight = p.weight;
  launch_gemm<T, Block>(params, sizes_of(p), layout, p.use_pdl, stream);
}

}  // namespace

std::span<const GemmSm90Layout> float8_gemm_sm90_layouts() { return kLayouts; }

bool has_float8_gemm_sm90() { return has_gemm_code<WidestBlock>(); }

bool float8_gemm_sm90_supports(const Float8GemmParams& p) {
  constexpr std::int64_t kElements = 8;  // of 16 bytes
  const QuantizedWeight& w = p.weight;
  return w.stored == DType::float8_e4m3 && w.is_tiled && w.num_groups == 1 &&
         w.zero_points == nullptr && w.input_permutation == nullptr &&
         p.epilogue.out_dtype != DType::float32 && p.epilogue.out_features % kElements == 0 &&
         is_fused_activation(p.epilogue.activation) && p.epilogue.activation != Activation::gelu;
}

void float8_gemm_sm90(const Float8GemmParams& p, cudaStream_t stream) {
  const GemmSm90Layout layout = p.layout ? *p.layout : best_gemm_layout(sizes_of(p), kLayouts);
  dispatch_half(p.epilogue.out_dtype, "float8_gemm_sm90", [&]<typename T>() {
    dispatch_layout<kLayouts>(layout, "float8_gemm_sm90", [&](auto index) {
      constexpr GemmSm90Layout kLayout = kLayouts[index];
      launch_block<T, Float8GemmBlock<kLayout.width, kLayout.pair>>(p, layout, stream);
    });
  });
}

}  // namespace quern::kernels
