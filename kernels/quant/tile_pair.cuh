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

/// How a warp copies pairs of tiles to stages.
template <DType kStored, bool kFine>
class TilePairCopy {
 public:
  using Stage = TilePairStage<kStored, kFine>;

  __device__ explicit TilePairCopy(const TilePairs& pairs)
      : pairs_(pairs),
        num_tiles_(static_cast<int>((pairs.weight.in_features + kQuantTileInputs<kStored> - 1) /
                                    kQuantTileInputs<kStored>)) {
    const QuantizedWeight& w = pairs.weight;
    const int groups = kFine ? kQuantTileInputs<kStored> / static_cast<int>(w.group_size) : 1;
    tiles_of_group_ = kFine ? 1 : static_cast<int>(w.group_size / kQuantTileInputs<kStored>);
    groups_of_tile_ = groups;
    const int scale_bytes = w.scale_dtype == DType::float16 ? 2 : 4;
    scale_vectors_ = groups * kQuantTileRows * scale_bytes / 16;
    row_scale_bytes_ = w.num_groups * kQuantTileRows * scale_bytes;
    row_zero_point_bytes_ = w.num_groups * kQuantTileRows;
  }

  /// Tiles along the inputs.
  __device__ int num_tiles() const { return num_tiles_; }

  /// Issues the copies of a warp; commits no group. `stage`: of Stage::kBytes.
  __device__ void copy(int pair, int tile, std::byte* stage) const {
    const QuantizedWeight& w = pairs_.weight;
    const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
#pragma unroll
    for (int which = 0; which < 2; ++which) {
      const std::int64_t at = std::int64_t{pairs_.tile_row(pair, which)} * num_tiles_ + tile;
      copy_16_bytes_async(stage + which * kQuantTileBytes + 16 * lane,
                          w.values + at * kQuantTileBytes + 16 * lane);
    }
    const int group = kFine ? tile * groups_of_tile_ : tile / tiles_of_group_;
    if (lane < 2 * scale_vectors_) {
      const int which = lane < scale_vectors_ ? 0 : 1;
      const int vector = lane - which * scale_vectors_;
      const auto* scales = static_cast<const std::byte*>(w.scales);
      copy_16_bytes_async(
          stage + Stage::kScalesAt + which * Stage::kScaleBytes + 16 * vector,
          scales + pairs_.tile_row(pair, which) * row_scale_bytes_ +
              static_cast<std::int64_t>(group) * scale_vectors_ * 16 / groups_of_tile_ +
              16 * vector);
    } else if (w.zero_points != nullptr && lane >= 16 && lane - 16 < 2 * groups_of_tile_) {
      const int which = lane - 16 < groups_of_tile_ ? 0 : 1;
      const int own = lane - 16 - which * groups_of_tile_;
      copy_8_bytes_async(stage + Stage::kZeroPointsAt + which * Stage::kZeroPointBytes + 8 * own,
                         w.zero_points + pairs_.tile_row(pair, which) * row_zero_point_bytes_ +
                             (group + own) * kQuantTileRows);
    }
  }

 private:
  const TilePairs& pairs_;
  int num_tiles_;
  int groups_of_tile_;
  int tiles_of_group_;
  int scale_vectors_;  ///< of 16 bytes, of a tile
  std::int64_t row_scale_bytes_;
  std::int64_t row_zero_point_bytes_;
};

/// Accumulates the products of a pair of tiles with kRowTiles times eight rows of the batch.
/// `rows`: the shared address of this lane's ldmatrix row at the tile's first input; lane l
/// addresses vector l / 8 of row l % 8. Sums: lane l has row l / 4 of the first tile for the
/// batch's rows 2 (l % 4) and the next, then the same of the second tile.
template <typename T, DType kStored, bool kFine, int kRowTiles>
__device__ inline void multiply_tile_pair(const QuantizedWeight& weight, const std::byte* stage,
                                          std::uint32_t rows, int row_tile_bytes,
                                          float (&sums)[kRowTiles][4]) {
  using Stage = TilePairStage<kStored, kFine>;
  constexpr int kWords = Fragments<T, kStored>::kWords;
  constexpr int kSegments = kSegmentsOfTile<kStored>;
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  const auto* vectors = reinterpret_cast<const uint4*>(stage) + lane;
  const uint4 own[2] = {vectors[0], vectors[kWarpSize]};
  const std::uint32_t words[2][4] = {{own[0].x, own[0].y, own[0].z, own[0].w},
                                     {own[1].x, own[1].y, own[1].z, own[1].w}};
  const auto scale_of = [&](int which, int group) {
    const std::byte* scales = stage + Stage::kScalesAt + which * Stage::kScaleBytes;
    const int index = group * kQuantTileRows + lane / 4;
    const float scale = weight.scale_dtype == DType::float16
                            ? __half2float(reinterpret_cast<const __half*>(scales)[index])
                            : reinterpret_cast<const float*>(scales)[index];
    return scale * kFragmentScale<T, kStored>;
  };
  const auto zero_point_of = [&](int which, int group) {
    if (kStored == DType::float8_e4m3 || weight.zero_points == nullptr) {
      return kSymmetricZeroPoint<kStored>;
    }
    const auto* zero_points = reinterpret_cast<const std::uint8_t*>(stage + Stage::kZeroPointsAt +
                                                                    which * Stage::kZeroPointBytes);
    return static_cast<int>(zero_points[group * kQuantTileRows + lane / 4]);
  };
  const int group_segments = kFine ? static_cast<int>(weight.group_size) / kSegmentInputs : 1;

  float products[kRowTiles][4] = {};
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
      mma_m16n8k16<T>(products[tile], {first[0], second[0], first[1], second[1]}, {in[0], in[1]});
      mma_m16n8k16<T>(products[tile], {first[2], second[2], first[3], second[3]}, {in[2], in[3]});
    }
    if (kFine || segment + 1 == kSegments) {
      const float scales[2] = {scale_of(0, group), scale_of(1, group)};
#pragma unroll
      for (int tile = 0; tile < kRowTiles; ++tile) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          sums[tile][i] += scales[i / 2] * products[tile][i];
          products[tile][i] = 0.0f;
        }
      }
    }
  }
}

}  // namespace quern::kernels
