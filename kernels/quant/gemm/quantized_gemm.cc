#include "kernels/quant/gemm/quantized_gemm.h"

#include "kernels/quant/dispatch_stored.h"

namespace quern::kernels {

/// In a source per type, as there are many kernels.
template <DType kStored>
void quantized_gemm_of(const QuantizedGemmParams& params, cudaStream_t stream);
extern template void quantized_gemm_of<DType::uint4>(const QuantizedGemmParams&, cudaStream_t);
extern template void quantized_gemm_of<DType::uint8>(const QuantizedGemmParams&, cudaStream_t);
extern template void quantized_gemm_of<DType::float8_e4m3>(const QuantizedGemmParams&,
                                                           cudaStream_t);

bool quantized_gemm_supports(const QuantizedGemmParams& params) {
  return params.num_rows <= kMaxQuantizedGemmRows && params.weight.in_features % 8 == 0 &&
         (!params.epilogue.gated || params.epilogue.out_features % kQuantTileRows == 0);
}

void quantized_gemm(const QuantizedGemmParams& params, cudaStream_t stream) {
  dispatch_stored(params.weight.stored, "quantized_gemm",
                  [&]<DType kStored>() { quantized_gemm_of<kStored>(params, stream); });
}

}  // namespace quern::kernels
