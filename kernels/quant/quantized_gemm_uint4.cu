#include "kernels/quant/quantized_gemm_launch.cuh"

namespace quern::kernels {

template void quantized_gemm_of<DType::uint4>(const QuantizedGemmParams&, cudaStream_t);

}  // namespace quern::kernels
