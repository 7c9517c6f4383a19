#include "kernels/attention/prefill/attention_prefill.h"

#include "kernels/attention/dispatch_attention.h"
#include "kernels/attention/prefill/prefill_launch.h"

namespace quern::kernels {

bool attention_prefill_supports(DType dtype, int head_dim) {
  return dtype != DType::float32 && has_mma_head_dim(head_dim);
}

void attention_prefill(const AttentionParams& params, cudaStream_t stream) {
  switch (storage_of(params)) {
    case KvStorage::unscaled:
      return launch_prefill<KvStorage::unscaled>(params, stream);
    case KvStorage::int8:
      return launch_prefill<KvStorage::int8>(params, stream);
    case KvStorage::fp8:
      return launch_prefill<KvStorage::fp8>(params, stream);
    case KvStorage::k16v8:
      return launch_prefill<KvStorage::k16v8>(params, stream);
  }
}

}  // namespace quern::kernels
