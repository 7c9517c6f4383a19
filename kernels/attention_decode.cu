#include <algorithm>

#include "kernels/attention_decode.h"
#include "kernels/common/attention.cuh"
#include "kernels/common/decode_warp.cuh"
#include "kernels/common/dependent_launch.cuh"
#include "kernels/common/dispatch_attention.h"
#include "kernels/common/last_block.cuh"
#include "kernels/common/launch.h"
#include "kernels/common/load.cuh"
#include "kernels/common/rope.cuh"
#include "kernels/common/softmax_state.cuh"

namespace quern::kernels {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = 32 * kWarps;

/// Blocks that share a multiprocessor; the compiler keeps to the registers that this leaves.
constexpr int blocks_per_multiprocessor(int head_dim) { return head_dim <= 128 ? 2 : 1; }

/// How a sequence's visible slots are split.
struct Splits {
  int count = 0;
  int slots = 0;  ///< of each part but the last
};

__host__ __device__ inline Splits split(std::int64_t slots) {
  const std::int64_t units = (slots + kMinSplitSlots - 1) / kMinSplitSlots;
  const std::int64_t units_per_split = (units + kMaxSplits - 1) / kMaxSplits;
  return {static_cast<int>((units + units_per_split - 1) / units_per_split),
          static_cast<int>(units_per_split) * kMinSplitSlots};
}

/// Blocks of a sequence's kv head: its query heads, eight at a time.
__host__ __device__ inline int head_chunks(int num_heads, int num_kv_heads) {
  return (num_heads / num_kv_heads + kDecodeHeads - 1) / kDecodeHeads;
}

/// How the launch's blocks share the work: parts (several a block where there are more) of rows,
/// which are kv heads by eight query heads, of sequences. Blocks beyond those have nothing to do.
struct Plan {
  AttentionDecodeParams params;
  int parts = 1;
  int rows = 1;
  /// The next kernel's blocks may come as soon as all of this one's have.
  bool lets_next_start = false;
};

/// What one block works on: up to eight query heads of a kv head of a sequence.
struct HeadGroup {
  int part = 0;
  int seq = 0;
  int kv_head = 0;
  int first_head = 0;
  int count = 0;
};

__device__ HeadGroup head_group(const Plan& plan) {
  const AttentionParams& p = plan.params.attention;
  const int chunks = head_chunks(p.num_heads, p.num_kv_heads);
  const int group = p.num_heads / p.num_kv_heads;
  const int block = static_cast<int>(blockIdx.x);
  HeadGroup heads;
  heads.part = block % plan.parts;
  const int row = block / plan.parts % plan.rows;
  heads.seq = block / (plan.parts * plan.rows);
  heads.kv_head = row / chunks;
  const int first = row % chunks * kDecodeHeads;
  heads.first_head = heads.kv_head * group + first;
  heads.count = min(kDecodeHeads, group - first);
  return heads;
}

/// What a block needs while it attends and after it: held in shared memory, as registers are few.
struct Work {
  HeadGroup heads;
  Splits splits;
  KvHead kv_head;
  int first_row = 0;
  int begin = 0;  ///< the first visible slot
  int kv_len = 0;
  int blocks = 0;  ///< that share the parts
};

/// Behind it lie sums [kWarps, heads of the block, kSumsStride].
template <typename T, int kHeadDim>
struct SharedMemory {
  /// Odd, so that the heads' sums lie in different banks.
  static constexpr int kSumsStride = kHeadDim + 1;
  DecodeToken<T, kHeadDim> token;
  Work work;
  float2 rotation[kMaxRopePairs];
  SoftmaxState states[kWarps][kDecodeHeads];
  float scales[kDecodeHeads][kMaxSplits];     ///< what a part's sums are multiplied with
  float part_sums[kDecodeHeads][kMaxSplits];  ///< a part's sum of weights

  __device__ float* sums() { return reinterpret_cast<float*>(this + 1); }
  __device__ float* sums(int warp, int heads) { return sums() + warp * heads * kSumsStride; }

  static constexpr std::size_t bytes(int heads) {
    return sizeof(SharedMemory) + sizeof(float) * kWarps * heads * kSumsStride;
  }
};

/// What can be done before the query is there: angles, and zeros in place of the queries that the
/// block does not have.
template <typename T, int kHeadDim>
__device__ void prepare_token(const AttentionParams& p, const AttentionSequence& s, int position,
                              int heads, SharedMemory<T, kHeadDim>& shared) {
  if (p.rope.num_pairs > 0) {
    fill_rotation(p.rope, alpha_of(p.rope, p.rope_alpha[s.state_row], s.kv_len), position,
                  shared.rotation);
  }
  for (int head = heads + static_cast<int>(threadIdx.x) / 32; head < kDecodeHeads; head += kWarps) {
    for (int d = threadIdx.x % 32; d < kHeadDim; d += 32) {
      shared.token.queries[head][d] = T(0.0f);
    }
  }
}

/// Brings queries, key and value of the new token to shared memory, a warp each.
template <typename T, int kHeadDim>
__device__ void load_token(const AttentionParams& p, int row, const HeadGroup& heads, int position,
                           SharedMemory<T, kHeadDim>& shared) {
  const int warp = threadIdx.x / 32;
  if (warp < heads.count) {
    prepare_head(p, qkv_head<T>(p, row, heads.first_head + warp), p.q_norm, shared.rotation,
                 logn_scale(p, position), shared.token.queries[warp]);
  }
  if (warp == heads.count % kWarps) {
    prepare_head(p, qkv_head<T>(p, row, p.num_heads + heads.kv_head), p.k_norm, shared.rotation,
                 1.0f, shared.token.key);
  }
  if (warp == (heads.count + 1) % kWarps) {
    const T* value = qkv_head<T>(p, row, p.num_heads + p.num_kv_heads + heads.kv_head);
    for (int d = threadIdx.x % 32; d < kHeadDim; d += 32) shared.token.value[d] = value[d];
  }
}

/// Puts the new token into the cache, by one warp. Blocks of further query heads of the same kv
/// head write the same bytes there.
template <typename T, int kHeadDim>
__device__ void append_token(const AttentionParams& p, const KvHead& head,
                             const DecodeToken<T, kHeadDim>& token) {
  constexpr int kChunks = kHeadDim / 8;
  const std::int64_t at =
      std::int64_t{slot_row(p, head.state_row, head.kv_head, head.own_slot)} * kHeadDim;
  for (int i = threadIdx.x % 32; i < 2 * kChunks; i += 32) {
    const T* from = i < kChunks ? token.key : token.value;
    T* to = static_cast<T*>(i < kChunks ? p.keys : p.values) + at;
    reinterpret_cast<uint4*>(to)[i % kChunks] = reinterpret_cast<const uint4*>(from)[i % kChunks];
  }
}

/// An element's sum over what the warps have left, and the state that goes with it.
template <typename T, int kHeadDim>
__device__ float merge_warps(SharedMemory<T, kHeadDim>& shared, int heads, int head, int element,
                             SoftmaxState& merged) {
  merged = SoftmaxState::none();
#pragma unroll
  for (int w = 0; w < kWarps; ++w) {
    merged.exponent = fmaxf(merged.exponent, shared.states[w][head].exponent);
  }
  float sum = 0.0f;
#pragma unroll
  for (int w = 0; w < kWarps; ++w) {
    const SoftmaxState& state = shared.states[w][head];
    const float scale = merged.scale_of(state);
    merged.sum += scale * state.sum;
    sum += scale * shared.sums(w, heads)[head * shared.kSumsStride + element];
  }
  return sum;
}

/// Weighs the parts of each head against each other, a warp a head. `states` [heads, max_splits].
/// The caller synchronises.
template <typename Shared>
__device__ void weigh_parts(const float2* states, int heads, int max_splits, int parts,
                            Shared& shared) {
  constexpr int kPerLane = kMaxSplits / 32;
  const int lane = threadIdx.x % 32;
  const int head = threadIdx.x / 32;
  if (head >= heads) return;
  SoftmaxState own[kPerLane];
  SoftmaxState merged = SoftmaxState::none();
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    own[i] = SoftmaxState::none();
    if (lane + 32 * i < parts) {
      const float2 state = __ldcg(states + head * max_splits + lane + 32 * i);
      own[i] = {state.x, state.y};
    }
    merged.exponent = fmaxf(merged.exponent, own[i].exponent);
  }
  merged.exponent = warp_max(merged.exponent);
#pragma unroll
  for (int i = 0; i < kPerLane; ++i) {
    shared.scales[head][lane + 32 * i] = merged.scale_of(own[i]);
    shared.part_sums[head][lane + 32 * i] = own[i].sum;
  }
}

/// Four elements of a head from its parts. `sums` [parts, kHeadDim], from the first of the four on.
template <int kHeadDim>
__device__ float4 merge_parts(const float* sums, int parts, const float* scales,
                              const float* part_sums) {
  constexpr int kInFlight = 8;
  float4 total{};
  float weights = 0.0f;
  for (int first = 0; first < parts; first += kInFlight) {
    float4 loaded[kInFlight];
#pragma unroll
    for (int i = 0; i < kInFlight; ++i) {
      loaded[i] = float4{};
      if (first + i < parts) {
        const float* at = sums + std::int64_t{first + i} * kHeadDim;
        loaded[i] = __ldcg(reinterpret_cast<const float4*>(at));
      }
    }
#pragma unroll
    for (int i = 0; i < kInFlight; ++i) {
      if (first + i >= parts) break;
      const float scale = scales[first + i];
      weights += scale * part_sums[first + i];
      total.x += scale * loaded[i].x;
      total.y += scale * loaded[i].y;
      total.z += scale * loaded[i].z;
      total.w += scale * loaded[i].w;
    }
  }
  return {total.x / weights, total.y / weights, total.z / weights, total.w / weights};
}

/// Where the heads from `head` on of a row go.
template <typename T, int kHeadDim>
__device__ T* head_out(const AttentionParams& p, int row, int head) {
  return static_cast<T*>(p.out) + (std::int64_t{row} * p.num_heads + head) * kHeadDim;
}

/// Where the block's states, and by kHeadDim its sums, of a head's part go.
__device__ inline std::int64_t index_of_part(const AttentionDecodeParams& params,
                                             const HeadGroup& heads, int head, int part) {
  return (std::int64_t{heads.seq} * params.attention.num_heads + heads.first_head + head) *
             params.max_splits +
         part;
}

/// The first slot of a part for the calling warp.
template <typename T, int kHeadDim>
__device__ int first_slot(int begin, int part, const Splits& splits) {
  return begin + part * splits.slots +
         static_cast<int>(threadIdx.x) / 32 * DecodeWarp<T, kHeadDim>::kSlots;
}

/// Attends to the block's parts. Writes the result, or each part's for finish_parts().
template <typename T, int kHeadDim>
__device__ void attend_to_parts(const AttentionDecodeParams& params, DecodeWarp<T, kHeadDim>& warp,
                                SharedMemory<T, kHeadDim>& shared) {
  const Work& work = shared.work;
  const HeadGroup& heads = work.heads;
  const Splits& splits = work.splits;
  for (int part = heads.part; part < splits.count; part += work.blocks) {
    warp.attend(shared.token, work.kv_head, first_slot<T, kHeadDim>(work.begin, part, splits),
                kWarps * DecodeWarp<T, kHeadDim>::kSlots,
                min(work.kv_len, work.begin + (part + 1) * splits.slots),
                [&] { return first_slot<T, kHeadDim>(work.begin, part + work.blocks, splits); });
    const int warp_index = thread_index_anew() / 32;
    warp.store(heads.count, shared.kSumsStride, shared.sums(warp_index, heads.count),
               shared.states[warp_index]);
    __syncthreads();
    for (int i = threadIdx.x; i < heads.count * kHeadDim; i += kThreads) {
      const int head = i / kHeadDim;
      const int element = i % kHeadDim;
      SoftmaxState state;
      const float sum = merge_warps(shared, heads.count, head, element, state);
      if (splits.count == 1) {
        head_out<T, kHeadDim>(params.attention, work.first_row, heads.first_head)[i] =
            from_float<T>(sum / state.sum);
        continue;
      }
      const std::int64_t index = index_of_part(params, heads, head, part);
      params.sums[index * kHeadDim + element] = sum;
      if (element == 0) params.states[index] = {state.exponent, state.sum};
    }
    __syncthreads();
  }
}

/// Merges the parts, by the last of the blocks that share them.
template <typename T, int kHeadDim>
__device__ void finish_parts(const Plan& plan, SharedMemory<T, kHeadDim>& shared) {
  const AttentionDecodeParams& params = plan.params;
  const HeadGroup& heads = shared.work.heads;
  const int parts = shared.work.splits.count;
  std::uint32_t* counter = params.counters + static_cast<int>(blockIdx.x) / plan.parts;
  if (!is_last_block(counter, shared.work.blocks)) return;
  weigh_parts(params.states + index_of_part(params, heads, 0, 0), heads.count, params.max_splits,
              parts, shared);
  __syncthreads();
  T* out = head_out<T, kHeadDim>(params.attention, shared.work.first_row, heads.first_head);
  for (int i = 4 * static_cast<int>(threadIdx.x); i < heads.count * kHeadDim; i += 4 * kThreads) {
    const int head = i / kHeadDim;
    const float* sums =
        params.sums + index_of_part(params, heads, head, 0) * kHeadDim + i % kHeadDim;
    store_4<T>(out + i,
               merge_parts<kHeadDim>(sums, parts, shared.scales[head], shared.part_sums[head]));
  }
}

/// Before wait_for_earlier_kernels() a block reads the sequence's state, the block table and the
/// cache but for the new token's slot. All that was written before this step: by the host's copies,
/// and by the attention and the advance of earlier steps. advance() ends a step, waits for all
/// before it and never lets the next kernel start early, so nothing of an earlier step is still
/// running.
template <typename T, int kHeadDim>
__global__ void __launch_bounds__(kThreads, blocks_per_multiprocessor(kHeadDim))
    attention_decode_kernel(const __grid_constant__ Plan plan) {
  if (plan.lets_next_start) let_next_kernel_start();
  const AttentionDecodeParams& params = plan.params;
  const AttentionParams& p = params.attention;
  extern __shared__ __align__(16) unsigned char shared_bytes[];
  auto& shared = *reinterpret_cast<SharedMemory<T, kHeadDim>*>(shared_bytes);
  const HeadGroup heads = head_group(plan);
  if (heads.seq >= p.num_decode_seqs) {
    wait_for_earlier_kernels();
    return;
  }
  const AttentionSequence s = decode_sequence_of(p, heads.seq);
  if (!s.running) {
    wait_for_earlier_kernels();
    T* out = head_out<T, kHeadDim>(p, s.first_row, heads.first_head);
    for (int i = threadIdx.x; heads.part == 0 && i < heads.count * kHeadDim; i += kThreads) {
      out[i] = T(0.0f);
    }
    return;
  }
  const int own_slot = s.kv_len - 1;
  const int begin = first_visible(p, own_slot);
  const Splits splits = split(s.kv_len - begin);
  const int blocks = min(plan.parts, splits.count);
  if (heads.part >= blocks) {
    if (plan.lets_next_start) wait_for_earlier_kernels();  // others of the grid wait in any case
    return;
  }
  const KvHead kv_head{s.state_row, heads.kv_head, own_slot};
  if (threadIdx.x == 0) {
    shared.work = {heads, splits, kv_head, s.first_row, begin, s.kv_len, blocks};
  }
  DecodeWarp<T, kHeadDim> warp(p);
  warp.look_ahead(kv_head, first_slot<T, kHeadDim>(begin, heads.part, splits));
  const int position = p.state_position[s.state_row];
  prepare_token(p, s, position, heads.count, shared);
  __syncthreads();
  wait_for_earlier_kernels();
  load_token(p, s.first_row, heads, position, shared);
  __syncthreads();
  if ((splits.count - 1) % blocks == heads.part && threadIdx.x / 32 == kWarps - 1) {
    append_token(p, shared.work.kv_head, shared.token);
  }
  attend_to_parts(params, warp, shared);
  if (shared.work.splits.count > 1) finish_parts(plan, shared);
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

void attention_decode(const AttentionDecodeParams& params, cudaStream_t stream) {
  const AttentionParams& p = params.attention;
  Plan plan{params};
  plan.rows = decode_counters(p.num_heads, p.num_kv_heads);
  const int most = blocks_per_multiprocessor(p.head_dim) * params.num_multiprocessors;
  plan.parts =
      std::clamp(most / (plan.rows * p.num_decode_seqs), 1, decode_splits(params.max_slots));
  int blocks = plan.parts * plan.rows * p.num_decode_seqs;
  // One sequence: one block a multiprocessor leaves room for one of the next kernel's beside it, so
  // each gets one. With fewer blocks, or more, the next kernel's would crowd where there is room,
  // and stay there, as would those after them. With several sequences they are alone on their
  // multiprocessors in any case.
  const bool one = p.num_decode_seqs == 1;
  plan.lets_next_start = p.overlaps && blocks_per_multiprocessor(p.head_dim) == 2 &&
                         (!one || blocks <= params.num_multiprocessors);
  if (plan.lets_next_start && one) blocks = params.num_multiprocessors;
  const int heads = std::min(kDecodeHeads, p.num_heads / p.num_kv_heads);
  dispatch_mma(p.dtype, p.head_dim, "attention_decode", [&]<typename T, int kHeadDim>() {
    using Shared = SharedMemory<T, kHeadDim>;
    static_assert(Shared::bytes(kDecodeHeads) <= kMaxSharedBytes);
    launch(attention_decode_kernel<T, kHeadDim>,
           {.grid = dim3(static_cast<unsigned>(blocks)),
            .block = dim3(kThreads),
            .shared_bytes = Shared::bytes(heads),
            .overlaps = p.overlaps},
           stream, plan);
  });
}

}  // namespace quern::kernels
