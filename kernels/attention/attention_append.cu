#include "kernels/attention/attention.cuh"
#include "kernels/attention/attention_append.h"
#include "kernels/attention/rope.cuh"
#include "kernels/attention/scaled_vector.cuh"
#include "kernels/common/dependent_launch.cuh"
#include "kernels/common/dispatch.h"
#include "kernels/common/launch.h"
#include "kernels/common/load.cuh"
#include "kernels/common/token_row.cuh"

namespace quern::kernels {
namespace {

constexpr int kThreads = 256;

/// Thread mapping of a head with 16-byte accesses: a unit is a pair of 16-byte chunks that rope
/// rotates together, or one chunk that is not rotated.
struct HeadUnits {
  int pairs = 0;
  int count = 0;  ///< the pairs come first
};

template <typename T>
__host__ __device__ HeadUnits head_units(const AttentionParams& p) {
  const int pairs = p.rope.num_pairs / kElementsOf16Bytes<T>;
  return {pairs, p.head_dim / kElementsOf16Bytes<T> - pairs};
}

/// Whether a head can be processed in units: a norm needs a head's units in one warp.
template <typename T>
bool has_units(const AttentionParams& p) {
  constexpr int kElements = kElementsOf16Bytes<T>;
  const int units = head_units<T>(p).count;
  const bool normed = p.q_norm != nullptr || p.k_norm != nullptr;
  return p.head_dim % kElements == 0 && p.rope.num_pairs % kElements == 0 &&
         (!normed || (units <= 32 && (units & (units - 1)) == 0));
}

/// 16 bytes of a head as float32.
template <typename T>
struct Chunk {
  static constexpr int kElements = kElementsOf16Bytes<T>;
  float values[kElements];

  __device__ explicit Chunk(const T* at) {
    unpack_16_bytes<T>(*reinterpret_cast<const uint4*>(at), values);
  }
  __device__ void store(T* at) const { *reinterpret_cast<uint4*>(at) = pack_16_bytes<T>(values); }
  __device__ float sum_of_squares() const {
    float sum = 0.0f;
#pragma unroll
    for (const float value : values) sum += value * value;
    return sum;
  }
  __device__ void scale(float norm, const float* gain) {
#pragma unroll
    for (int i = 0; i < kElements; ++i) values[i] = values[i] * norm * gain[i];
  }
};

/// prepare_head() for one unit. Threads that share a normed head call it together.
template <typename T>
__device__ void prepare_unit(const AttentionParams& p, const T* in, const float* gain,
                             const float2* rotation, float scale, int unit, T* out) {
  constexpr int kElements = Chunk<T>::kElements;
  const HeadUnits units = head_units<T>(p);
  const bool is_pair = unit < units.pairs;
  const int low_at = (is_pair ? unit : unit + units.pairs) * kElements;
  const int high_at = is_pair ? low_at + p.rope.num_pairs : low_at;
  Chunk<T> low(in + low_at);
  Chunk<T> high(in + high_at);
  if (gain != nullptr) {
    float sum = low.sum_of_squares() + (is_pair ? high.sum_of_squares() : 0.0f);
    const unsigned group = units.count == 32 ? ~0u : (1u << units.count) - 1;
    const unsigned mask = group << (threadIdx.x % 32 / units.count * units.count);
    for (int distance = units.count / 2; distance > 0; distance /= 2) {
      sum += __shfl_xor_sync(mask, sum, distance);
    }
    const float norm = 1.0f / sqrtf(sum / static_cast<float>(p.head_dim) + p.norm_epsilon);
    low.scale(norm, gain + low_at);
    high.scale(norm, gain + high_at);
  }
#pragma unroll
  for (int i = 0; i < kElements; ++i) {
    const float first = low.values[i];
    const float second = high.values[i];
    low.values[i] = first * scale;
    if (!is_pair) continue;
    const auto [cosine, sine] = rotation[low_at + i];
    low.values[i] = (first * cosine - second * sine) * scale;
    high.values[i] = (second * cosine + first * sine) * scale;
  }
  low.store(out + low_at);
  if (is_pair) high.store(out + high_at);
}

/// Per-token state of a block.
struct Token {
  const AttentionSequence& sequence;
  int row;
  const float2* rotation;
  float scale;  ///< of the queries

  /// Offset of a kv head's vector in the cache.
  __device__ std::int64_t cache_element(const AttentionParams& p, int kv_head) const {
    const int slot = sequence.kv_len - sequence.q_len + row - sequence.first_row;
    return std::int64_t{slot_row(p, sequence.state_row, kv_head, slot)} * p.head_dim;
  }
  __device__ std::int64_t query_element(const AttentionParams& p, int head) const {
    return (std::int64_t{row} * p.num_heads + head) * p.head_dim;
  }
};

/// The queries, and where the cache has no scales also keys and values.
template <typename T, bool kScaled>
__device__ void append_units(const AttentionParams& p, const Token& token) {
  const int units = head_units<T>(p).count;
  const int heads = kScaled ? p.num_heads : p.num_heads + p.num_kv_heads;
  for (int i = threadIdx.x; i < heads * units; i += kThreads) {
    const int head = i / units;
    const bool is_query = head < p.num_heads;
    T* out = is_query ? static_cast<T*>(p.queries) + token.query_element(p, head)
                      : static_cast<T*>(p.keys) + token.cache_element(p, head - p.num_heads);
    prepare_unit(p, qkv_head<T>(p, token.row, head), is_query ? p.q_norm : p.k_norm, token.rotation,
                 is_query ? token.scale : 1.0f, i % units, out);
  }
  if constexpr (kScaled) return;
  const int chunks = p.head_dim / kElementsOf16Bytes<T>;
  const T* values = qkv_head<T>(p, token.row, p.num_heads + p.num_kv_heads);
  for (int i = threadIdx.x; i < p.num_kv_heads * chunks; i += kThreads) {
    T* out = static_cast<T*>(p.values) + token.cache_element(p, i / chunks);
    reinterpret_cast<uint4*>(out)[i % chunks] = reinterpret_cast<const uint4*>(values)[i];
  }
}

/// Any head size, one warp per head: as append_units().
template <typename T, bool kScaled>
__device__ void append_heads(const AttentionParams& p, const Token& token) {
  const int heads = kScaled ? p.num_heads : p.num_heads + p.num_kv_heads;
  for (int head = threadIdx.x / 32; head < heads; head += kThreads / 32) {
    const T* in = qkv_head<T>(p, token.row, head);
    if (head < p.num_heads) {
      prepare_head(p, in, p.q_norm, token.rotation, token.scale,
                   static_cast<T*>(p.queries) + token.query_element(p, head));
      continue;
    }
    const std::int64_t at = token.cache_element(p, head - p.num_heads);
    prepare_head(p, in, p.k_norm, token.rotation, 1.0f, static_cast<T*>(p.keys) + at);
    const T* value = qkv_head<T>(p, token.row, head + p.num_kv_heads);
    for (int d = threadIdx.x % 32; d < p.head_dim; d += 32) {
      static_cast<T*>(p.values)[at + d] = value[d];
    }
  }
}

/// Keys and values of a cache with scales, one warp per vector.
template <typename T>
__device__ void append_scaled(const AttentionParams& p, const Token& token) {
  extern __shared__ __align__(16) unsigned char shared_bytes[];
  const int warp = threadIdx.x / 32;
  const int lane = threadIdx.x % 32;
  T* vector = reinterpret_cast<T*>(shared_bytes) + warp * p.head_dim;
  for (int i = warp; i < 2 * p.num_kv_heads; i += kThreads / 32) {
    const bool is_key = i < p.num_kv_heads;
    const int kv_head = is_key ? i : i - p.num_kv_heads;
    const T* in = qkv_head<T>(p, token.row, p.num_heads + i);
    const std::int64_t at = token.cache_element(p, kv_head);
    float* scales = is_key ? p.key_scales : p.value_scales;
    void* cache = is_key ? p.keys : p.values;
    __syncwarp();
    if (is_key) {
      prepare_head(p, in, p.k_norm, token.rotation, 1.0f, vector);
    } else {
      for (int d = lane; d < p.head_dim; d += 32) vector[d] = in[d];
    }
    __syncwarp();
    if (scales == nullptr) {
      for (int d = lane; d < p.head_dim; d += 32) static_cast<T*>(cache)[at + d] = vector[d];
      continue;
    }
    const float scale =
        quantize_vector(p.scaled_dtype, vector, p.head_dim, static_cast<std::uint8_t*>(cache) + at);
    if (lane == 0) scales[at / p.head_dim] = scale;
  }
}

/// One block per token.
template <typename T, bool kUnits, bool kScaled>
__global__ void __launch_bounds__(kThreads)
    attention_append_kernel(const __grid_constant__ AttentionAppendParams params) {
  let_next_kernel_start();
  const AttentionParams& p = params.attention;
  __shared__ float2 rotation[kMaxRopePairs];
  const int row = params.first_seq + blockIdx.x;  // decode sequences have one token each
  const AttentionSequence s = sequence_of(p, sequence_of_row(p.cu_seqlens_q, p.num_seqs, row));
  const int position = position_of(p, s, row);
  if (p.rope.num_pairs > 0) {
    fill_rotation(p.rope, alpha_of(p.rope, p.rope_alpha[s.state_row], s.kv_len), position,
                  rotation);
  }
  // Up to here only reads of what earlier steps wrote, see attention_decode.cu.
  wait_for_earlier_kernels();
  if (params.counter != nullptr && blockIdx.x == 0 && threadIdx.x == 0) *params.counter = 0;
  if (!s.running) return;
  __syncthreads();
  const Token token{s, row, rotation, logn_scale(p, position)};
  if constexpr (kUnits) {
    append_units<T, kScaled>(p, token);
  } else {
    append_heads<T, kScaled>(p, token);
  }
  if constexpr (kScaled) append_scaled<T>(p, token);
}

}  // namespace

void attention_append(const AttentionAppendParams& params, cudaStream_t stream) {
  const AttentionParams& p = params.attention;
  LaunchShape shape{
      .grid = dim3(p.num_tokens - params.first_seq), .block = dim3(kThreads), .use_pdl = p.use_pdl};
  dispatch_float(p.dtype, "attention_append", [&]<typename T>() {
    const bool by_unit = !params.by_head && has_units<T>(p);
    if (storage_of(p) == KvStorage::unscaled) {
      const auto kernel = by_unit ? attention_append_kernel<T, true, false>
                                  : attention_append_kernel<T, false, false>;
      return launch(kernel, shape, stream, params);
    }
    shape.shared_bytes = kThreads / 32 * p.head_dim * sizeof(T);
    const auto kernel =
        by_unit ? attention_append_kernel<T, true, true> : attention_append_kernel<T, false, true>;
    launch(kernel, shape, stream, params);
  });
}

}  // namespace quern::kernels
