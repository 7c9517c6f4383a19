#include "kernels/attention/decode/decode_kernel.cuh"

namespace quern::kernels {

template void launch_decode<KvStorage::unscaled>(const DecodeLaunch&, cudaStream_t);

}  // namespace quern::kernels
