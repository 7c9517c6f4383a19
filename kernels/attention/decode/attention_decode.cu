#include <algorithm>

#include "kernels/attention/decode/attention_decode.h"
#include "kernels/attention/decode/decode_block.cuh"
#include "kernels/attention/decode/decode_launch.h"
#include "kernels/attention/dispatch_attention.h"

namespace quern::kernels {
namespace {

/// Warps per block. With many rows, several blocks share a multiprocessor with few warps each: a
/// short row is a chain of latencies, which then overlap. A row much longer than the others must
/// not delay the step.
int warps_per_block(int rows, int max_slots, int max_warps) {
  constexpr int kMaxSlotsPerWarp = 512;
  int warps = kDecodeHeads;
  while (warps > 1 && rows * warps > max_warps && max_slots <= warps / 2 * kMaxSlotsPerWarp) {
    warps /= 2;
  }
  return warps;
}

/// Rows of all sequences.
int decode_rows(const AttentionParams& p) {
  return decode_counters(p.num_heads, p.num_kv_heads) * p.num_decode_seqs;
}

}  // namespace

bool attention_decode_supports(DType dtype, int head_dim) {
  return dtype != DType::float32 && has_mma_head_dim(head_dim);
}

int decode_splits(std::int64_t max_slots) {
  const std::int64_t units = (max_slots + kMinSplitSlots - 1) / kMinSplitSlots;
  return static_cast<int>(std::clamp<std::int64_t>(units, 1, kMaxSplits));
}

int decode_counters(int num_heads, int num_kv_heads) {
  return num_kv_heads * head_chunks(num_heads, num_kv_heads);
}

DecodeShares decode_shares(const AttentionDecodeParams& params) {
  const AttentionParams& p = params.attention;
  if (params.deterministic) {
    // As many splits as the longest sequence can have, so that none gets larger ones: see split().
    return {.splits = decode_splits(p.window > 0 ? std::min(p.window, params.max_slots)
                                                 : params.max_slots)};
  }
  const int rows = decode_rows(p);
  const int max_warps = warps_per_multiprocessor(p.head_dim) * params.num_multiprocessors;
  DecodeShares shares;
  shares.warps = warps_per_block(rows, params.max_slots, max_warps);
  if (shares.warps == kDecodeHeads) {  // see kSplitsKv
    shares.splits = std::clamp(max_warps / shares.warps / rows, 1, decode_splits(params.max_slots));
  }
  return shares;
}

void attention_decode(const AttentionDecodeParams& params, cudaStream_t stream) {
  const AttentionParams& p = params.attention;
  const DecodeShares shares = decode_shares(params);
  DecodePlan plan{params, shares.splits, decode_counters(p.num_heads, p.num_kv_heads)};
  int blocks = plan.splits * decode_rows(p);
  // One sequence: with one block per multiprocessor there is room for exactly one block of the next
  // kernel on each. With fewer blocks, or more, the next kernel's blocks would be unevenly
  // distributed, and so would those after them (docs/adr/0009). With several sequences the
  // projections run one block per multiprocessor in any case.
  const bool one = p.num_decode_seqs == 1;
  plan.lets_next_start = p.use_pdl && warps_per_multiprocessor(p.head_dim) > kDecodeHeads &&
                         (!one || blocks <= params.num_multiprocessors);
  if (plan.lets_next_start && one) blocks = params.num_multiprocessors;
  const DecodeLaunch given{plan, blocks, shares.warps,
                           std::min(kDecodeHeads, p.num_heads / p.num_kv_heads)};
  switch (storage_of(p)) {
    case KvStorage::unscaled:
      return launch_decode<KvStorage::unscaled>(given, stream);
    case KvStorage::int8:
      return launch_decode<KvStorage::int8>(given, stream);
    case KvStorage::fp8:
      return launch_decode<KvStorage::fp8>(given, stream);
    case KvStorage::k16v8:
      return launch_decode<KvStorage::k16v8>(given, stream);
  }
}

}  // namespace quern::kernels
