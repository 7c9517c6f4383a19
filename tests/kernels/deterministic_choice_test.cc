// What a deterministic launch chooses, which needs no GPU: nothing follows from the batch.
#include <gtest/gtest.h>

#include "kernels/attention/decode/attention_decode.h"
#include "kernels/attention/decode/attention_prompt.h"
#include "kernels/gemm/deterministic_gemm.h"

namespace quern::kernels {
namespace {

AttentionDecodeParams decode_params(int num_seqs, int num_heads, int max_slots) {
  AttentionDecodeParams params;
  params.attention.num_decode_seqs = num_seqs;
  params.attention.num_heads = num_heads;
  params.attention.num_kv_heads = num_heads;
  params.attention.head_dim = 128;
  params.max_slots = max_slots;
  params.num_multiprocessors = 132;
  params.deterministic = true;
  return params;
}

TEST(DeterministicChoice, DecodeSplitsFollowFromTheLengthAlone) {
  for (const int max_slots : {1, 256, 257, 2000, 16384, 100000}) {
    for (const int num_seqs : {1, 2, 8, 33, 64, 256}) {
      const DecodeShares shares = decode_shares(decode_params(num_seqs, 32, max_slots));
      EXPECT_EQ(shares.warps, kDecodeHeads);
      // A sequence of any length up to max_slots gets as many splits as it would alone.
      EXPECT_EQ(shares.splits, decode_splits(max_slots));
      EXPECT_TRUE(shares.splits == kMaxSplits || shares.splits * kMinSplitSlots >= max_slots);
    }
  }
}

TEST(DeterministicChoice, OtherwiseTheBatchDecides) {
  AttentionDecodeParams params = decode_params(64, 32, 300);
  params.deterministic = false;
  EXPECT_LT(decode_shares(params).warps, kDecodeHeads);
  params.attention.num_decode_seqs = 1;
  EXPECT_EQ(decode_shares(params).warps, kDecodeHeads);
}

TEST(DeterministicChoice, AWindowBoundsTheSplits) {
  AttentionDecodeParams params = decode_params(3, 8, 10000);
  params.attention.window = 1000;
  EXPECT_EQ(decode_shares(params).splits, 4);
}

TEST(DeterministicChoice, TokensShareABlockWhereTheirSlotsBeginTogether) {
  AttentionPromptParams params;
  params.max_kv_len = 1000;
  const auto tokens = [&](int num_heads, int num_kv_heads) {
    params.attention.num_heads = num_heads;
    params.attention.num_kv_heads = num_kv_heads;
    return prompt_tokens_of_block(params);
  };
  EXPECT_EQ(tokens(32, 32), 8);
  EXPECT_EQ(tokens(32, 8), 2);
  EXPECT_EQ(tokens(14, 2), 1);
  EXPECT_EQ(tokens(24, 8), 2);
  EXPECT_EQ(tokens(22, 2), 1);
  params.attention.window = 100;
  EXPECT_EQ(tokens(32, 32), 1);
  params.attention.window = 0;
  params.max_kv_len = kMaxSplits * kMinSplitSlots + 1;
  EXPECT_EQ(tokens(32, 32), 1);
}

TEST(DeterministicChoice, AGemmsKSplitFollowsFromTheWeightsTiles) {
  EXPECT_EQ(deterministic_k_split(1), (KSplit{8, 4}));
  EXPECT_EQ(deterministic_k_split(6), (KSplit{8, 4}));
  EXPECT_EQ(deterministic_k_split(7), (KSplit{4, 2}));
  EXPECT_EQ(deterministic_k_split(12), (KSplit{4, 2}));
  EXPECT_EQ(deterministic_k_split(13), (KSplit{2, 1}));
  EXPECT_EQ(deterministic_k_split(1000), (KSplit{2, 1}));
}

}  // namespace
}  // namespace quern::kernels
