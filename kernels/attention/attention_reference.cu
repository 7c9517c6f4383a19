#include "kernels/attention/attention.cuh"
#include "kernels/attention/attention_reference.h"
#include "kernels/attention/scaled_vector.cuh"
#include "kernels/common/dispatch.h"
#include "kernels/common/launch.h"
#include "kernels/common/softmax_state.cuh"

namespace quern::kernels {
namespace {

constexpr int kRows = 16;
constexpr int kSlots = 16;
constexpr int kThreads = 128;
constexpr int kRowsPerWarp = kRows / (kThreads / 32);

/// Dynamic shared memory: as floats, queries [kRows, head_dim], sums [kRows, head_dim], and keys or
/// values [kSlots, head_dim + 1].
constexpr std::size_t shared_bytes(int head_dim) {
  return sizeof(float) * (2 * kRows * head_dim + kSlots * (head_dim + 1));
}
static_assert(shared_bytes(kMaxReferenceHeadDim) + 2048 <= kMaxSharedBytes,
              "2048: weights and more");

/// Loads the slots [begin, end) to shared memory as floats. `scales`: or null, where the cache
/// holds T.
template <typename T>
__device__ void load_slots(const AttentionParams& p, const void* cache, const float* scales,
                           int state_row, int kv_head, int begin, int end, float* destination) {
  const int stride = p.head_dim + 1;
  for (int i = threadIdx.x / 32; i < min(kSlots, end - begin); i += kThreads / 32) {
    const std::int64_t row = slot_row(p, state_row, kv_head, begin + i);
    if (scales != nullptr) {
      const auto* numbers = static_cast<const std::uint8_t*>(cache) + row * p.head_dim;
      for (int d = threadIdx.x % 32; d < p.head_dim; d += 32) {
        destination[i * stride + d] = number_of(p.scaled_dtype, numbers[d]) * scales[row];
      }
      continue;
    }
    const T* source = static_cast<const T*>(cache) + row * p.head_dim;
    for (int d = threadIdx.x % 32; d < p.head_dim; d += 32) {
      destination[i * stride + d] = to_float(source[d]);
    }
  }
}

/// grid: tiles, kv heads.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    attention_reference_kernel(const __grid_constant__ AttentionParams p) {
  extern __shared__ float shared[];
  float* queries = shared;
  float* sums = queries + kRows * p.head_dim;
  float* slots = sums + kRows * p.head_dim;
  __shared__ float weights[kRows][kSlots];
  __shared__ float corrections[kRows];
  __shared__ float denominators[kRows];

  const int kv_head = static_cast<int>(blockIdx.y);
  const QueryTile tile = find_tile(p, 0, kRows, static_cast<int>(blockIdx.x));
  if (tile.count == 0) return;
  const AttentionSequence& s = tile.sequence;
  if (!s.running) {
    zero_rows<T>(p, tile, kv_head);
    return;
  }
  const int group = p.num_heads / p.num_kv_heads;
  const int stride = p.head_dim + 1;
  const int elements = tile.count * p.head_dim;
  const auto own_slot = [&](int row) { return s.kv_len - s.q_len + (tile.first + row) / group; };
  for (int i = threadIdx.x; i < elements; i += kThreads) {
    const int row = tile.first + i / p.head_dim;
    const std::int64_t vector =
        std::int64_t{s.first_row + row / group} * p.num_heads + kv_head * group + row % group;
    queries[i] = to_float(static_cast<const T*>(p.queries)[vector * p.head_dim + i % p.head_dim]);
    sums[i] = 0.0f;
  }
  SoftmaxState states[kRowsPerWarp];
  for (SoftmaxState& state : states) state = SoftmaxState::none();

  const int end = own_slot(tile.count - 1) + 1;
  // Tiles begin at multiples of their size, so that sums do not depend on the tile of rows.
  for (int begin = first_visible(p, own_slot(0)) / kSlots * kSlots; begin < end; begin += kSlots) {
    __syncthreads();
    load_slots<T>(p, p.keys, p.key_scales, s.state_row, kv_head, begin, end, slots);
    __syncthreads();
    for (int i = threadIdx.x; i < kRows * kSlots; i += kThreads) {
      const int row = i / kSlots;
      const int slot = begin + i % kSlots;
      float score = kLowest;
      if (row < tile.count && slot <= own_slot(row) && slot >= first_visible(p, own_slot(row))) {
        float product = 0.0f;
        for (int d = 0; d < p.head_dim; ++d) {
          product += queries[row * p.head_dim + d] * slots[i % kSlots * stride + d];
        }
        score = score_of(p, product);
      }
      weights[row][i % kSlots] = score;
    }
    __syncthreads();
    load_slots<T>(p, p.values, p.value_scales, s.state_row, kv_head, begin, end, slots);
    for (int i = 0; i < kRowsPerWarp; ++i) {
      const int row = static_cast<int>(threadIdx.x) / 32 * kRowsPerWarp + i;
      const int lane = threadIdx.x % 32;
      const float score = lane < kSlots ? weights[row][lane] : kLowest;
      const float correction = states[i].raise(SoftmaxState::exponent_of(warp_max(score)));
      const float weight = states[i].weight(score);
      states[i].sum += warp_sum(weight);
      if (lane < kSlots) weights[row][lane] = to_float(from_float<T>(weight));
      if (lane == 0) corrections[row] = correction;
      if (lane == 0) denominators[row] = states[i].sum;
    }
    __syncthreads();
    for (int i = threadIdx.x; i < elements; i += kThreads) {
      const int row = i / p.head_dim;
      // Masked slots must not enter the sum at all: 0 · infinity is NaN.
      const int first = max(begin, first_visible(p, own_slot(row)));
      const int last = min(begin + kSlots - 1, own_slot(row));
      float sum = sums[i] * corrections[row];
      for (int slot = first; slot <= last; ++slot) {
        sum += weights[row][slot - begin] * slots[(slot - begin) * stride + i % p.head_dim];
      }
      sums[i] = sum;
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < elements; i += kThreads) {
    const int row = i / p.head_dim;
    tile_row<T>(p, tile, kv_head, row)[i % p.head_dim] = from_float<T>(sums[i] / denominators[row]);
  }
}

}  // namespace

void attention_reference(const AttentionParams& params, cudaStream_t stream) {
  dispatch_float(params.dtype, "attention_reference", [&]<typename T>() {
    launch(attention_reference_kernel<T>,
           {.grid = dim3(max_tiles(params, 0, kRows), params.num_kv_heads),
            .block = dim3(kThreads),
            .shared_bytes = shared_bytes(params.head_dim)},
           stream, params);
  });
}

}  // namespace quern::kernels
