#include "kernels/gemm/sm90/gemm_kernel.cuh"
#include "kernels/quant/rounded/int8_block.cuh"

namespace quern::kernels {
namespace {

using WidestBlock = Int8GemmBlock<256, 2>;

constexpr GemmSm90Layout kLayouts[] = {
    {256, 2, 1}, {192, 2, 1}, {128, 2, 1}, {256, 1, 1}, {192, 1, 1}, {128, 1, 1},
};

GemmSizes sizes_of(const Int8GemmParams& p) {
  constexpr int kDepth = WidestBlock::kDepth;
  return {p.num_rows, (p.weight.in_features + kDepth - 1) / kDepth, p.epilogue,
          p.num_multiprocessors};
}

template <typename T, typename Block>
void launch_block(const Int8GemmParams& p, const GemmSm90Layout& layout, cudaStream_t stream) {
  Int8GemmSm90KernelParams params;
  params.rows = make_tensor_map({.dtype = DType::uint8,
                                 .data = p.in.values,
                                 .rows = p.num_rows,
                                 .columns = p.weight.in_features,
                                 .box_rows = Block::kRows,
                                 .box_columns = Block::kDepth},
                                "the rows of a product");
  params.weights = make_tensor_map({.dtype = DType::uint8,
                                    .data = p.weight.values,
                                    .rows = p.epilogue.weight_rows(),
                                    .columns = p.weight.in_features,
                                    .box_rows = Block::kBoxRows,
                                    .box_columns = Block::kDepth},
                                   "the weight of a product");
  params.in = p.in;
  params.weight = p.weight;
  launch_gemm<T, Block>(params, sizes_of(p), layout, p.use_pdl, stream);
}

}  // namespace

std::span<const GemmSm90Layout> int8_gemm_sm90_layouts() { return kLayouts; }

bool has_int8_gemm_sm90() { return has_gemm_code<WidestBlock>(); }

bool int8_gemm_sm90_supports(const Int8GemmParams& p) {
  constexpr std::int64_t kElements = 8;  // of 16 bytes
  return int8_gemm_supports(p) && p.epilogue.out_dtype != DType::float32 &&
         p.epilogue.out_features % kElements == 0 && p.epilogue.activation != Activation::gelu;
}

void int8_gemm_sm90(const Int8GemmParams& p, cudaStream_t stream) {
  const GemmSm90Layout layout = p.layout ? *p.layout : best_gemm_layout(sizes_of(p), kLayouts);
  dispatch_half(p.epilogue.out_dtype, "int8_gemm_sm90", [&]<typename T>() {
    dispatch_layout<kLayouts>(layout, "int8_gemm_sm90", [&](auto index) {
      constexpr GemmSm90Layout kLayout = kLayouts[index];
      launch_block<T, Int8GemmBlock<kLayout.width, kLayout.pair>>(p, layout, stream);
    });
  });
}

}  // namespace quern::kernels
