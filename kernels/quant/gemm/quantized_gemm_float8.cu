#include "kernels/quant/gemm/quantized_gemm_launch.cuh"

namespace quern::kernels {

template void quantized_gemm_of<DType::float8_e4m3>(const QuantizedGemmParams&, cudaStream_t);

}  // namespace quern::kernels
