#pragma once

#include "kernels/common/dependent_launch.cuh"
#include "kernels/common/epilogue.cuh"
#include "kernels/quant/gemm/quantized_gemm.h"
#include "kernels/quant/tile_pair.cuh"

namespace quern::kernels {

inline constexpr int kQuantizedGemmWarps = 8;
inline constexpr int kMaxQuantizedGemmStages = 6;

/// Shape of a block: eight times kRowTilesOfBlock rows; kWarpsN warps split the pairs of a pass, up
/// to kPairsOfWarp each; the others split a K tile, a tile of the weight each.
template <int kRowTilesOfBlock, int kWarpsN, int kPairsOfWarp>
struct QuantizedGemmLayout {
  static constexpr int kRowTiles = kRowTilesOfBlock;
  static constexpr int kRows = 8 * kRowTiles;
  static constexpr int kWarpsAlongN = kWarpsN;
  static constexpr int kWarpsAlongK = kQuantizedGemmWarps / kWarpsN;
  static constexpr int kPairs = kPairsOfWarp;
  static constexpr int kPassPairs = kPairs * kWarpsN;
  /// Bounds the registers, where the accumulators allow it, so that a block of another kernel can
  /// be co-resident.
  static constexpr int kKernelsAtOnce = kRowTiles * kPairs <= 12 ? 2 : 1;
};

/// Kernel argument.
struct QuantizedGemmPlan {
  QuantizedGemmParams params;
  int num_stages = 0;
  int pairs_of_warp = 0;  ///< with room in a stage; a pass has kWarpsAlongN times as many pairs
};

/// Sizes of a stage: the rows of a K tile, then a pair for each warp and place.
template <typename L, DType kStored, bool kFine>
struct QuantizedGemmStage {
  static constexpr int kRowVectors = L::kWarpsAlongK * kQuantTileInputs<kStored> / 8;
  static constexpr int kRowStride = kRowVectors + 1;  ///< puts rows into different banks
  static constexpr int kRowsBytes = 16 * kRowStride * L::kRows;
  static constexpr int kPairBytes = TilePairStage<kStored, kFine>::kBytes;

  __host__ __device__ static int bytes(int pairs_of_warp) {
    return kRowsBytes + kQuantizedGemmWarps * pairs_of_warp * kPairBytes;
  }
  /// Partial sums of a pass.
  static std::size_t reduction_bytes(int pairs_of_warp) {
    return std::size_t{kQuantizedGemmWarps} * static_cast<std::size_t>(pairs_of_warp) *
           L::kRowTiles * kWarpSize * sizeof(float4);
  }
};

/// One thread block of the GEMM.
template <typename T, DType kStored, bool kFine, typename L>
class QuantizedGemmBlock {
 public:
  using Stage = QuantizedGemmStage<L, kStored, kFine>;

  __device__ QuantizedGemmBlock(const QuantizedGemmPlan& plan, const TilePairs& pairs,
                                std::byte* shared)
      : plan_(plan),
        pairs_(pairs),
        cursor_(pairs),
        shared_(shared),
        stage_bytes_(Stage::bytes(plan.pairs_of_warp)),
        first_row_(static_cast<int>(blockIdx.y) * L::kRows),
        num_rows_(min(static_cast<int>(plan.params.num_rows) - first_row_, L::kRows)),
        num_k_tiles_((cursor_.num_tiles() + L::kWarpsAlongK - 1) / L::kWarpsAlongK) {}

  __device__ void run() {
    const int count = pairs_.num_pairs();
    const int blocks = static_cast<int>(gridDim.x);
    const int block = static_cast<int>(blockIdx.x);
    const int begin = count / blocks * block + min(block, count % blocks);
    const int end = begin + count / blocks + (block < count % blocks ? 1 : 0);
    const int pass_pairs = plan_.pairs_of_warp * L::kWarpsAlongN;
    for (int first = begin; first < end; first += pass_pairs) {
      multiply_pass(first, min(first + pass_pairs, end), first == begin);
    }
    if (begin == end) wait_for_earlier_kernels();
  }

 private:
  __device__ static int warp() { return static_cast<int>(threadIdx.x) / kWarpSize; }
  __device__ static int warp_n() { return warp() % L::kWarpsAlongN; }
  __device__ static int warp_k() { return warp() / L::kWarpsAlongN; }

  __device__ std::byte* stage(int index) const { return shared_ + index * stage_bytes_; }
  /// This warp's place for a pair in a stage.
  __device__ std::byte* pair_in(std::byte* stage, int i) const {
    return stage + Stage::kRowsBytes + (warp() * plan_.pairs_of_warp + i) * Stage::kPairBytes;
  }
  /// Blocks start at different K tiles, so that they do not all hit the same memory channels.
  __device__ int k_tile(int index) const {
    return (index + static_cast<int>(blockIdx.x)) % num_k_tiles_;
  }

  __device__ void load_weight(int index, int first, int end, std::byte* to) {
    const int tile = k_tile(index) * L::kWarpsAlongK + warp_k();
    if (tile >= cursor_.num_tiles()) return;
    cursor_.place(first + warp_n(), tile);
    std::byte* place = pair_in(to, 0);
    for (int pair = first + warp_n(); pair < end; pair += L::kWarpsAlongN) {
      cursor_.copy(place);
      cursor_.skip_pairs(L::kWarpsAlongN);
      place += Stage::kPairBytes;
    }
  }

  /// Each thread copies the same vector of every kRowsAtOnce-th row.
  __device__ void load_rows(int index, std::byte* to) const {
    constexpr int kRowsAtOnce = kQuantizedGemmWarps * kWarpSize / Stage::kRowVectors;
    static_assert(kRowsAtOnce * Stage::kRowVectors == kQuantizedGemmWarps * kWarpSize);
    const QuantizedGemmParams& p = plan_.params;
    const int row_vectors = static_cast<int>(p.weight.in_features / 8);
    const int first_row = static_cast<int>(threadIdx.x) / Stage::kRowVectors;
    const int own = static_cast<int>(threadIdx.x) % Stage::kRowVectors;
    const int vector = k_tile(index) * Stage::kRowVectors + own;
    const bool inside = vector < row_vectors;
    const uint4* from = static_cast<const uint4*>(p.in) +
                        std::int64_t{first_row_ + first_row} * row_vectors + (inside ? vector : 0);
    to += 16 * (first_row * Stage::kRowStride + own);
#pragma unroll
    for (int i = 0; i < (L::kRows + kRowsAtOnce - 1) / kRowsAtOnce; ++i) {
      if (first_row + i * kRowsAtOnce >= num_rows_) break;
      copy_16_bytes_async(to + i * (16 * kRowsAtOnce * Stage::kRowStride), from, inside);
      from += std::int64_t{kRowsAtOnce} * row_vectors;
    }
  }

  __device__ void multiply_pass(int first, int end, bool is_first_pass) {
    const int ahead = plan_.num_stages - 1;
    for (int i = 0; i < ahead; ++i) {
      if (i < num_k_tiles_) load_weight(i, first, end, stage(i));
      end_copy_group();
    }
    if (is_first_pass) {
      prefetch_biases(
          plan_.params.epilogue, std::int64_t{first} * pairs_.features_of_pair(),
          min(std::int64_t{end} * pairs_.features_of_pair(), plan_.params.epilogue.out_features));
      wait_for_earlier_kernels();
    }
    for (int i = 0; i < ahead; ++i) {
      if (i < num_k_tiles_) load_rows(i, stage(i));
      end_copy_group();
    }
    float sums[L::kPairs][L::kRowTiles][4] = {};
    const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
    const int lane_row =
        16 * (lane % 8 * Stage::kRowStride + lane / 8) + warp_k() * (kQuantTileInputs<kStored> * 2);
    int here = 0;
    for (int index = 0; index < num_k_tiles_; ++index) {
      wait_for_copy_groups(plan_.num_stages - 2);
      __syncthreads();  // this K tile has arrived, and the previous one's stage is free
      if (index + ahead < num_k_tiles_) {
        std::byte* free = stage(here == 0 ? ahead : here - 1);
        load_rows(index + ahead, free);
        load_weight(index + ahead, first, end, free);
      }
      end_copy_group();
      if (k_tile(index) * L::kWarpsAlongK + warp_k() < cursor_.num_tiles()) {
        std::byte* from = stage(here);
#pragma unroll
        for (int i = 0; i < L::kPairs; ++i) {
          if (i >= plan_.pairs_of_warp || first + warp_n() + i * L::kWarpsAlongN >= end) break;
          const std::byte* pair = pair_in(from, i);
          const auto* vectors = reinterpret_cast<const uint4*>(pair) + lane;
          multiply_tile_pair<T, kStored, L::kRowTiles, L::kRowTiles == 1>(
              {vectors[0], vectors[kWarpSize]},
              StagedScales<T, kStored, kFine>{pairs_.weight, pair}, shared_address(from) + lane_row,
              16 * 8 * Stage::kRowStride, sums[i]);
        }
      }
      here = here + 1 == plan_.num_stages ? 0 : here + 1;
    }
    wait_for_copies();
    __syncthreads();  // all stages are free
    reduce_splits_and_finish(first, end, sums);
    __syncthreads();
  }

  __device__ void reduce_splits_and_finish(int first, int end,
                                           const float (&sums)[L::kPairs][L::kRowTiles][4]) const {
    auto* parts = reinterpret_cast<float4*>(shared_) + static_cast<int>(threadIdx.x) % kWarpSize;
    const int units = plan_.pairs_of_warp * L::kWarpsAlongN * L::kRowTiles;
#pragma unroll
    for (int i = 0; i < L::kPairs; ++i) {
      if (i >= plan_.pairs_of_warp) break;
#pragma unroll
      for (int tile = 0; tile < L::kRowTiles; ++tile) {
        const int unit = (warp_n() + i * L::kWarpsAlongN) * L::kRowTiles + tile;
        const float(&own)[4] = sums[i][tile];
        parts[(warp_k() * units + unit) * kWarpSize] = {own[0], own[1], own[2], own[3]};
      }
    }
    __syncthreads();
    for (int unit = warp(); unit < (end - first) * L::kRowTiles; unit += kQuantizedGemmWarps) {
      float4 total{};
#pragma unroll
      for (int split = 0; split < L::kWarpsAlongK; ++split) {
        const float4 part = parts[(split * units + unit) * kWarpSize];
        total.x += part.x;
        total.y += part.y;
        total.z += part.z;
        total.w += part.w;
      }
      finish_unit(first + unit / L::kRowTiles, unit % L::kRowTiles, total);
    }
  }

  /// Applies the epilogue to this lane's sums of a pair by eight rows and stores them.
  __device__ void finish_unit(int pair, int row_tile, const float4& sums) const {
    const Epilogue& epilogue = plan_.params.epilogue;
    const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
    const int feature = pair * pairs_.features_of_pair() + lane / 4;
    const float own[4] = {sums.x, sums.y, sums.z, sums.w};
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int row = row_tile * 8 + lane % 4 * 2 + i;
      if (row >= num_rows_) return;
      if (pairs_.gated) {
        quern::kernels::finish(epilogue, first_row_ + row, feature, own[i], own[2 + i]);
        continue;
      }
#pragma unroll
      for (int which = 0; which < 2; ++which) {
        const int at = feature + which * kQuantTileRows;
        if (at < pairs_.features) {
          quern::kernels::finish(epilogue, first_row_ + row, at, own[2 * which + i], 0.0f);
        }
      }
    }
  }

  const QuantizedGemmPlan& plan_;
  const TilePairs& pairs_;
  TilePairCursor<kStored, kFine> cursor_;
  std::byte* shared_;
  int stage_bytes_;
  int first_row_;
  int num_rows_;
  int num_k_tiles_;
};

}  // namespace quern::kernels
