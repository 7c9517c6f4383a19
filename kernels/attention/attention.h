#pragma once

#include <cstdint>

#include "kernels/attention/rope.h"
#include "quern/dtype.h"

namespace quern::kernels {

/// Parameters shared by the attention kernels; see graph/op.h's Attention for their meaning. "T" is
/// `dtype`: float32, float16 or bfloat16. Rows of qkv and out are dense and aligned to 16 bytes
/// where head_dim is a multiple of 8.
struct AttentionParams {
  DType dtype = DType::float32;
  const void* qkv = nullptr;  ///< [tokens, (num_heads + 2 num_kv_heads) head_dim] T
  void* out = nullptr;        ///< [tokens, num_heads head_dim] T
  /// This layer's [num_blocks, num_kv_heads, block_size, head_dim] T, or numbers of scaled_dtype
  /// where there are scales.
  void* keys = nullptr;
  void* values = nullptr;         ///< the same
  float* key_scales = nullptr;    ///< [num_cache_rows], or null: keys are T
  float* value_scales = nullptr;  ///< the same for the values
  /// uint8 (the number plus 128) or float8_e4m3; see graph/kv_vector.h.
  DType scaled_dtype = DType::uint8;
  int num_cache_rows = 0;  ///< of keys: num_blocks · num_kv_heads · block_size
  /// [tokens, num_heads head_dim] T: normed, rotated and scaled q; written by attention_append
  void* queries = nullptr;

  int num_heads = 0;
  int num_kv_heads = 0;
  int head_dim = 0;
  int block_size = 0;
  int max_blocks_per_seq = 0;
  const std::int32_t* block_table = nullptr;  ///< [rows of the state, max_blocks_per_seq]

  const float* q_norm = nullptr;  ///< [head_dim] or null
  const float* k_norm = nullptr;  ///< [head_dim] or null
  float norm_epsilon = 0.0f;
  float scale = 1.0f;
  float softcap = 0.0f;  ///< 0: none
  int window = 0;        ///< 0: all slots
  int logn_length = 0;   ///< 0: none
  RopeParams rope;

  int num_seqs = 0;
  int num_decode_seqs = 0;  ///< these come first, with one token each
  int num_tokens = 0;
  const std::int32_t* state_index = nullptr;   ///< [num_seqs]
  const std::int32_t* cu_seqlens_q = nullptr;  ///< [num_seqs + 1]
  const std::int32_t* kv_lens = nullptr;       ///< [num_seqs] of prefill sequences
  const std::int32_t* positions = nullptr;     ///< [num_tokens] of prefill sequences
  // By row of the state:
  const std::int32_t* finished = nullptr;
  const std::int32_t* state_kv_len = nullptr;
  const std::int32_t* state_position = nullptr;
  const float* rope_alpha = nullptr;

  bool use_pdl = false;  ///< see LaunchShape
};

/// What the cache stores: the kernels are instantiated for each.
enum class KvStorage { unscaled, int8, fp8, k16v8 };

inline KvStorage storage_of(const AttentionParams& p) {
  if (p.value_scales == nullptr) return KvStorage::unscaled;
  if (p.key_scales == nullptr) return KvStorage::k16v8;
  return p.scaled_dtype == DType::uint8 ? KvStorage::int8 : KvStorage::fp8;
}

}  // namespace quern::kernels
