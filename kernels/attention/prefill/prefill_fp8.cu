#include "kernels/attention/prefill/prefill_kernel.cuh"

namespace quern::kernels {

template void launch_prefill<KvStorage::fp8>(const AttentionParams&, cudaStream_t);

}  // namespace quern::kernels
