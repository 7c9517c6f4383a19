#pragma once

#include <cstdint>

#include "kernels/common/async_copy.cuh"
#include "kernels/common/mma.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/quant/fragments.cuh"

namespace quern::kernels {

/// A quantized weight as pairs of tiles, the 16 rows of an MMA: of neighbouring rows or, gated, of
/// gate rows and their up rows. Lane l belongs to rows l / 4 of both tiles.
struct TilePairs {
  const QuantizedWeight& weight;
  bool gated;
  int features;  ///< out_features

  __device__ int num_pairs() const {
    const int features_of_pair = gated ? kQuantTileRows : 2 * kQuantTileRows;
    return (features + features_of_pair - 1) / features_of_pair;
  }
  __device__ int features_of_pair() const { return gated ? kQuantTileRows : 2 * kQuantTileRows; }
  /// The row of tiles of a pair's tile.
  __device__ int tile_row(int pair, int which) const {
    return gated ? pair + which * (features / kQuantTileRows) : 2 * pair + which;
  }
};

/// A pair of tiles with its scales and zero points in shared memory. kFine: several groups in a
/// tile.
template <DType kStored, bool kFine>
struct TilePairStage {
  static constexpr int kGroups = kFine ? kSegmentsOfTile<kStored> : 1;  ///< at most
  static constexpr int kScalesAt = 2 * kQuantTileBytes;
  static constexpr int kScaleBytes = kGroups * kQuantTileRows * 4;  ///< of a tile, at most
  static constexpr int kZeroPointsAt = kScalesAt + 2 * kScaleBytes;
  static constexpr int kZeroPointBytes = kGroups * kQuantTileRows;
  static constexpr int kBytes = kZeroPointsAt + 2 * kZeroPointBytes;
  static_assert(kBytes % 16 == 0);
};

/// Where a warp copies tiles from: a pair of rows of tiles, and a tile in them. Moving is cheap,
/// placing costs multiplications and a division.
template <DType kStored, bool kFine>
class TilePairCursor {
 public:
  using Stage = TilePairStage<kStored, kFine>;

  __device__ explicit TilePairCursor(const TilePairs& pairs) : pairs_(pairs) {
    const Extra extra = own_extra();
    extra_place_ = extra.place;
    extra_step_ = extra.step;
  }

  /// Tiles along the inputs.
  __device__ int num_tiles() const {
    return (static_cast<int>(pairs_.weight.in_features) + kQuantTileInputs<kStored> - 1) /
           kQuantTileInputs<kStored>;
  }

  __device__ void place(int pair, int tile) {
    const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
    const int first = pairs_.tile_row(pair, 0);
    const int second = pairs_.tile_row(pair, 1);
    values_ = pairs_.weight.values + (std::int64_t{first} * num_tiles() + tile) * kQuantTileBytes +
              16 * lane;
    second_ = std::int64_t{second - first} * num_tiles() * kQuantTileBytes;
    const int group = tile / tiles_of_group();
    left_in_group_ = tiles_of_group() - (tile - group * tiles_of_group());
    const Extra extra = own_extra();
    extra_ = extra.base + (extra.which == 0 ? first : second) * extra.row_bytes +
             std::int64_t{group} * extra.step;
  }

  /// Moves to the next tile of the same rows.
  __device__ void move_on() {
    values_ += kQuantTileBytes;
    if (--left_in_group_ > 0) return;
    left_in_group_ = tiles_of_group();
    extra_ += extra_step_;
  }

  /// Moves to the same tile of the pair `num_pairs` further on.
  __device__ void skip_pairs(int num_pairs) {
    const int rows = num_pairs * (pairs_.gated ? 1 : 2);
    values_ += std::int64_t{rows} * num_tiles() * kQuantTileBytes;
    extra_ += rows * own_extra().row_bytes;
  }

  /// Issues the copies of a warp; commits no group. `stage`: of Stage::kBytes.
  __device__ void copy(std::byte* stage) const {
    const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
    copy_16_bytes_async(stage + 16 * lane, values_);
    copy_16_bytes_async(stage + kQuantTileBytes + 16 * lane, values_ + second_);
    if (extra_place_ >= Stage::kZeroPointsAt) {
      copy_8_bytes_async(stage + extra_place_, extra_);
    } else if (extra_place_ >= 0) {
      copy_16_bytes_async(stage + extra_place_, extra_);
    }
  }

 private:
  /// This lane's copy of scales or zero points, of one of the two rows of tiles.
  struct Extra {
    const std::byte* base = nullptr;
    int which = 0;
    int place = -1;  ///< in a stage; negative: none
    int step = 0;    ///< bytes of a tile's groups
    std::int64_t row_bytes = 0;
  };

  __device__ int tiles_of_group() const {
    return kFine ? 1 : static_cast<int>(pairs_.weight.group_size) / kQuantTileInputs<kStored>;
  }

  __device__ Extra own_extra() const {
    const QuantizedWeight& w = pairs_.weight;
    const int groups = kFine ? kQuantTileInputs<kStored> / static_cast<int>(w.group_size) : 1;
    const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
    const int scale_bytes = w.scale_dtype == DType::float16 ? 2 : 4;
    const int scale_vectors = groups * kQuantTileRows * scale_bytes / 16;
    Extra extra;
    if (lane < 2 * scale_vectors) {
      extra.which = lane < scale_vectors ? 0 : 1;
      const int own = 16 * (lane - extra.which * scale_vectors);
      extra.base = static_cast<const std::byte*>(w.scales) + own;
      extra.place = Stage::kScalesAt + extra.which * Stage::kScaleBytes + own;
      extra.step = 16 * scale_vectors;
      extra.row_bytes = w.num_groups * kQuantTileRows * scale_bytes;
    } else if (w.zero_points != nullptr && lane >= 16 && lane - 16 < 2 * groups) {
      extra.which = lane - 16 < groups ? 0 : 1;
      const int own = kQuantTileRows * (lane - 16 - extra.which * groups);
      extra.base = reinterpret_cast<const std::byte*>(w.zero_points) + own;
      extra.place = Stage::kZeroPointsAt + extra.which * Stage::kZeroPointBytes + own;
      extra.step = groups * kQuantTileRows;
      extra.row_bytes = w.num_groups * kQuantTileRows;
    }
    return extra;
  }

  const TilePairs& pairs_;
  int extra_place_;
  int extra_step_;
  const std::uint8_t* values_ = nullptr;
  std::int64_t second_ = 0;  ///< bytes from the first row of tiles to the second
  const std::byte* extra_ = nullptr;
  int left_in_group_ = 0;
};

/// Scales and zero points of a pair of tiles in its stage, for multiply_tile_pair().
template <typename T, DType kStored, bool kFine>
struct StagedScales {
  using Stage = TilePairStage<kStored, kFine>;
  static constexpr bool kFineGroups = kFine;

  const QuantizedWeight& weight;
  const std::byte* stage;

  /// Segments that share a scale, in a tile of several groups.
  __device__ int group_segments() const {
    return static_cast<int>(weight.group_size) / kSegmentInputs;
  }
  __device__ bool has_zero_points() const { return weight.zero_points != nullptr; }
  __device__ float scale(int which, int group) const {
    const std::byte* scales = stage + Stage::kScalesAt + which * Stage::kScaleBytes;
    const int index = group * kQuantTileRows + static_cast<int>(threadIdx.x) % kWarpSize / 4;
    return weight.scale_dtype == DType::float16
               ? __half2float(reinterpret_cast<const __half*>(scales)[index])
               : reinterpret_cast<const float*>(scales)[index];
  }
  __device__ int zero_point(int which, int group) const {
    const auto* zero_points = reinterpret_cast<const std::uint8_t*>(stage + Stage::kZeroPointsAt +
                                                                    which * Stage::kZeroPointBytes);
    return zero_points[group * kQuantTileRows + static_cast<int>(threadIdx.x) % kWarpSize / 4];
  }
};

/// Accumulates the products of a pair of tiles with kRowTiles times eight rows of the batch.
/// `own`: this lane's vectors of both tiles. `scales`: see StagedScales. `rows`: the shared address
/// of this lane's ldmatrix row at the tile's first input; lane l addresses vector l / 8 of row
/// l % 8. Sums: lane l has row l / 4 of the first tile for the batch's rows 2 (l % 4) and the next,
/// then the same of the second tile.
template <typename T, DType kStored, int kRowTiles, bool kTwoChains = false, typename Scales>
__device__ inline void multiply_tile_pair(const uint4 (&own)[2], const Scales& scales,
                                          std::uint32_t rows, int row_tile_bytes,
                                          float (&sums)[kRowTiles][4]) {
  constexpr bool kFine = Scales::kFineGroups;
  constexpr int kWords = Fragments<T, kStored>::kWords;
  constexpr int kSegments = kSegmentsOfTile<kStored>;
  const std::uint32_t words[2][4] = {{own[0].x, own[0].y, own[0].z, own[0].w},
                                     {own[1].x, own[1].y, own[1].z, own[1].w}};
  const auto zero_point_of = [&](int which, int group) {
    if (kStored == DType::float8_e4m3 || !scales.has_zero_points()) {
      return kSymmetricZeroPoint<kStored>;
    }
    return scales.zero_point(which, group);
  };
  const int group_segments = kFine ? scales.group_segments() : 1;

  // A single chain of MMAs would wait for each.
  constexpr int kChains = kTwoChains ? 2 : 1;
  float products[kRowTiles][kChains][4] = {};
  ZeroPoint<T, kStored> zero[2] = {ZeroPoint<T, kStored>(zero_point_of(0, 0)),
                                   ZeroPoint<T, kStored>(zero_point_of(1, 0))};
#pragma unroll
  for (int segment = 0; segment < kSegments; ++segment) {
    const int group = kFine ? segment / group_segments : 0;
    if (kFine && segment > 0) {
#pragma unroll
      for (int which = 0; which < 2; ++which) {
        zero[which] = ZeroPoint<T, kStored>(zero_point_of(which, group));
      }
    }
    std::uint32_t first[4];
    std::uint32_t second[4];
    Fragments<T, kStored>::dequantize(&words[0][segment * kWords], zero[0], first);
    Fragments<T, kStored>::dequantize(&words[1][segment * kWords], zero[1], second);
#pragma unroll
    for (int tile = 0; tile < kRowTiles; ++tile) {
      std::uint32_t in[4];
      load_matrices(rows + tile * row_tile_bytes + segment * (kSegmentInputs * 2), in);
      mma_m16n8k16<T>(products[tile][0], {first[0], second[0], first[1], second[1]},
                      {in[0], in[1]});
      mma_m16n8k16<T>(products[tile][kChains - 1], {first[2], second[2], first[3], second[3]},
                      {in[2], in[3]});
    }
    if (kFine || segment + 1 == kSegments) {
      const float factors[2] = {scales.scale(0, group) * kFragmentScale<T, kStored>,
                                scales.scale(1, group) * kFragmentScale<T, kStored>};
#pragma unroll
      for (int tile = 0; tile < kRowTiles; ++tile) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
#pragma unroll
          for (int chain = 1; chain < kChains; ++chain) {
            products[tile][0][i] += products[tile][chain][i];
            products[tile][chain][i] = 0.0f;
          }
          sums[tile][i] += factors[i / 2] * products[tile][0][i];
          products[tile][0][i] = 0.0f;
        }
      }
    }
  }
}

}  // namespace quern::kernels
