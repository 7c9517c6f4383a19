#pragma once

#include <cuda_runtime_api.h>

#include "kernels/attention/decode/attention_decode.h"

namespace quern::kernels {

/// Work decomposition of a launch: KV splits of rows; a row is up to eight query heads of a kv head
/// of a sequence. Excess blocks exit.
struct DecodePlan {
  AttentionDecodeParams params;
  int splits = 1;  ///< of a sequence, at most
  int rows = 1;
  /// Triggers the dependent launch at the start of each block.
  bool lets_next_start = false;
};

struct DecodeLaunch {
  DecodePlan plan;
  int blocks = 0;
  int warps = 0;  ///< of a block
  int heads = 0;  ///< of a block, at most
};

/// Co-resident warps per multiprocessor, which bounds the registers of a thread.
constexpr int warps_per_multiprocessor(int head_dim) { return head_dim <= 128 ? 16 : 8; }

/// Launches the kernel of a storage; each is instantiated in a source of its own.
template <KvStorage kStorage>
void launch_decode(const DecodeLaunch& given, cudaStream_t stream);

extern template void launch_decode<KvStorage::unscaled>(const DecodeLaunch&, cudaStream_t);
extern template void launch_decode<KvStorage::int8>(const DecodeLaunch&, cudaStream_t);
extern template void launch_decode<KvStorage::fp8>(const DecodeLaunch&, cudaStream_t);
extern template void launch_decode<KvStorage::k16v8>(const DecodeLaunch&, cudaStream_t);

}  // namespace quern::kernels
