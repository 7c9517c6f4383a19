#include "kernels/attention/decode/decode_kernel.cuh"

namespace quern::kernels {

template void launch_decode<KvStorage::fp8>(const DecodeLaunch&, cudaStream_t);

}  // namespace quern::kernels
