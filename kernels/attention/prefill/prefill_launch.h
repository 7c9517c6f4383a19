#pragma once

#include <cuda_runtime_api.h>

#include "kernels/attention/attention.h"

namespace quern::kernels {

/// Launches attention_prefill's kernel of a storage; each is instantiated in a source of its own.
template <KvStorage kStorage>
void launch_prefill(const AttentionParams& params, cudaStream_t stream);

extern template void launch_prefill<KvStorage::unscaled>(const AttentionParams&, cudaStream_t);
extern template void launch_prefill<KvStorage::int8>(const AttentionParams&, cudaStream_t);
extern template void launch_prefill<KvStorage::fp8>(const AttentionParams&, cudaStream_t);
extern template void launch_prefill<KvStorage::k16v8>(const AttentionParams&, cudaStream_t);

}  // namespace quern::kernels
