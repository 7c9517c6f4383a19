#include "kernels/quant/gemm/quantized_gemm_launch.cuh"

namespace quern::kernels {

template void quantized_gemm_of<DType::uint8>(const QuantizedGemmParams&, cudaStream_t);

}  // namespace quern::kernels
