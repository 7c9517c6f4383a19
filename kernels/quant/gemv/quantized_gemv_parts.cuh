#pragma once

#include "kernels/common/epilogue.cuh"
#include "kernels/norm/norm_row.cuh"
#include "kernels/quant/block_scales.cuh"
#include "kernels/quant/gemv/quantized_gemv.h"

namespace quern::kernels::quantized_gemv_parts {

inline constexpr int kThreads = 512;
inline constexpr int kWarps = kThreads / kWarpSize;
/// Bounds registers and shared memory so that the next kernel's block can be co-resident.
inline constexpr int kKernelsAtOnce = 2;
inline constexpr int kHeld = 2;  ///< groups of four elements: rows of 4096 stay in registers
inline constexpr int kStageBytes = 2 * kQuantTileBytes;  ///< of a warp: a pair of tiles
/// Pipeline stages of each warp that there is code for, by preference.
inline constexpr int kMostStages = 5;
inline constexpr int kSomeStages = 4;
inline constexpr int kFewestStages = 2;

/// Layout of the batch's rows in shared memory: whole tiles of inputs, and a stride that puts rows
/// into different banks.
struct RowLayout {
  int vectors;
  int stride;

  __host__ __device__ static RowLayout of(std::int64_t in_features, int tile_inputs) {
    const int tiles = static_cast<int>((in_features + tile_inputs - 1) / tile_inputs);
    return {tiles * tile_inputs / 8, tiles * tile_inputs / 8 + 1};
  }
};

/// Kernel argument: the launch's sizes, so that no thread divides.
struct Plan {
  QuantizedGemvParams params;
  int num_stages = 0;
  int num_tiles = 0;         ///< along the inputs
  int pairs_of_block = 0;    ///< at least
  int blocks_with_more = 0;  ///< the first blocks have one more
  ScalesPlan scales;
  // Offsets in shared memory. The warps' rings come first.
  int rows_at = 0;
  int partial_sums_at = 0;
  int shared_bytes = 0;
};

inline constexpr int kNoPair = -1;

__device__ inline int own_warp() { return static_cast<int>(threadIdx.x) / kWarpSize; }
__device__ inline int own_lane() { return static_cast<int>(threadIdx.x) % kWarpSize; }

/// Streams a warp's tiles, which follow each other in both rows of tiles, through its ring. A lane
/// reads only what it copied itself, so that no barrier is needed.
class TileStream {
 public:
  __device__ TileStream(const Plan& plan, int pair, int tile, int count, std::byte* ring)
      : from_(plan.params.weight.values +
              (std::int64_t{pair} * plan.num_tiles + tile) * kQuantTileBytes + 16 * own_lane()),
        second_(std::int64_t{plan.scales.num_pairs} * plan.num_tiles * kQuantTileBytes),
        left_(count),
        end_(plan.num_stages * kStageBytes),
        ring_(ring + 16 * own_lane()) {}

  /// Issues the copies of the first tiles. Weights may be read while earlier kernels still run.
  __device__ void start() {
    do {
      move_on();
    } while (place_ != 0);
  }

  /// Waits for a pair of tiles and reads this lane's vectors of it.
  __device__ void take(uint4 (&own)[2]) const {
    if (end_ == kMostStages * kStageBytes) {
      wait_for_copy_groups<kMostStages - 1>();
    } else if (end_ == kSomeStages * kStageBytes) {
      wait_for_copy_groups<kSomeStages - 1>();
    } else {
      wait_for_copy_groups<kFewestStages - 1>();
    }
    own[0] = *reinterpret_cast<const uint4*>(ring_ + place_);
    own[1] = *reinterpret_cast<const uint4*>(ring_ + place_ + kQuantTileBytes);
  }

  /// Refills the stage of the tiles taken last.
  __device__ void move_on() {
    if (left_ > 0) {
      copy_16_bytes_async(ring_ + place_, from_);
      copy_16_bytes_async(ring_ + place_ + kQuantTileBytes, from_ + second_);
      from_ += kQuantTileBytes;
      --left_;
    }
    end_copy_group();
    place_ += kStageBytes;
    if (place_ == end_) place_ = 0;
  }

 private:
  const std::uint8_t* from_;
  std::int64_t second_;  ///< bytes from the first row of tiles to the second
  int left_;             ///< to be copied
  int end_;
  std::byte* ring_;
  int place_ = 0;  ///< of the oldest stage
};

/// Loads, or norms, the batch's rows into shared memory.
template <typename T>
__device__ inline void prepare_rows(const QuantizedGemvParams& p, const RowLayout& layout,
                                    NormRow<T, 4, kHeld>& norm, uint4* rows) {
  const int vectors = static_cast<int>(p.weight.in_features) / 8;
  const int thread = static_cast<int>(threadIdx.x);
  if (p.in == nullptr) {
    norm.load(p.norm.token_rows != nullptr ? *p.norm.token_rows : 0);
    if (p.residual_out != nullptr && blockIdx.x == 0) norm.store(p.residual_out);
    norm.store_norm(reinterpret_cast<T*>(rows));
  } else if (p.num_rows == 1) {
    const auto* from = static_cast<const uint4*>(p.in);
#pragma unroll 4
    for (int i = thread; i < vectors; i += kThreads) rows[i] = from[i];
  } else {
    // All loads of a group before its stores: each waits for L2.
    constexpr int kRowsAtOnce = 8;
    const auto* from = static_cast<const uint4*>(p.in);
    for (int first = 0; first < p.num_rows; first += kRowsAtOnce) {
#pragma unroll 1
      for (int i = thread; i < vectors; i += kThreads) {
        uint4 loaded[kRowsAtOnce];
#pragma unroll
        for (int row = 0; row < kRowsAtOnce; ++row) {
          if (first + row < p.num_rows) loaded[row] = from[(first + row) * vectors + i];
        }
#pragma unroll
        for (int row = 0; row < kRowsAtOnce; ++row) {
          if (first + row < p.num_rows) rows[(first + row) * layout.stride + i] = loaded[row];
        }
      }
    }
  }
  for (int row = 0; row < p.num_rows; ++row) {
    if (thread < layout.vectors - vectors) rows[row * layout.stride + vectors + thread] = uint4{};
  }
}

/// The sums of a pair of tiles that other warps began, in shared memory until the warp that began
/// it adds them: those of a warp's lanes that have a row of the batch.
template <int kRowTiles>
class PartialSums {
 public:
  static constexpr int bytes(int num_rows) {
    return kWarps * kRowTiles * kQuantTileRows * columns(num_rows) *
           static_cast<int>(sizeof(float4));
  }

  __device__ PartialSums(const Plan& plan, std::byte* shared)
      : sums_(reinterpret_cast<float4*>(shared + plan.partial_sums_at)),
        columns_(columns(plan.params.num_rows)) {}

  __device__ void put(const float (&sums)[kRowTiles][4]) const {
    if (own_lane() % 4 >= columns_) return;
#pragma unroll
    for (int tile = 0; tile < kRowTiles; ++tile) {
      sums_[place(own_warp(), tile)] = {sums[tile][0], sums[tile][1], sums[tile][2], sums[tile][3]};
    }
  }

  __device__ void add(int warp, float (&sums)[kRowTiles][4]) const {
    if (own_lane() % 4 >= columns_) return;
#pragma unroll
    for (int tile = 0; tile < kRowTiles; ++tile) {
      const float4 part = sums_[place(warp, tile)];
      sums[tile][0] += part.x;
      sums[tile][1] += part.y;
      sums[tile][2] += part.z;
      sums[tile][3] += part.w;
    }
  }

 private:
  /// Of four pairs of rows, those that a tile of rows has.
  __host__ __device__ static constexpr int columns(int num_rows) {
    return num_rows < 8 ? (num_rows + 1) / 2 : 4;
  }
  __device__ int place(int warp, int tile) const {
    return ((warp * kRowTiles + tile) * kQuantTileRows + own_lane() / 4) * columns_ +
           own_lane() % 4;
  }

  float4* sums_;
  int columns_;
};

/// Applies the epilogue to this lane's sums of a pair by eight rows and stores them. In loops, as
/// copies of the epilogue's code would crowd the instruction cache.
__device__ inline void store_pair(const Plan& plan, int pair, int row_tile,
                                  const float (&sums)[4]) {
  const QuantizedGemvParams& p = plan.params;
#pragma unroll 1
  for (int i = 0; i < 2; ++i) {
    const int row = row_tile * 8 + own_lane() % 4 * 2 + i;
    if (row >= p.num_rows) return;
    float product = i == 0 ? sums[0] : sums[1];
    const float second = i == 0 ? sums[2] : sums[3];
    std::int64_t feature = std::int64_t{pair} * kQuantTileRows + own_lane() / 4;
#pragma unroll 1
    for (int which = 0; which < (p.epilogue.gated ? 1 : 2); ++which) {
      if (feature < p.epilogue.out_features) finish(p.epilogue, row, feature, product, second);
      feature += std::int64_t{plan.scales.num_pairs} * kQuantTileRows;
      product = second;
    }
  }
}

}  // namespace quern::kernels::quantized_gemv_parts
