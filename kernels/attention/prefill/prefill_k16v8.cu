#include "kernels/attention/prefill/prefill_kernel.cuh"

namespace quern::kernels {

template void launch_prefill<KvStorage::k16v8>(const AttentionParams&, cudaStream_t);

}  // namespace quern::kernels
