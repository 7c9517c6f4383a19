#pragma once

#include <cuda_fp16.h>

#include <cstdint>

#include "kernels/common/async_copy.cuh"
#include "kernels/common/reduce.cuh"
#include "kernels/quant/fragments.cuh"

namespace quern::kernels {

/// Where a tile's scales are from. Those that most formats have get code of their own.
enum class Scales {
  half_symmetric,  ///< float16, whole tiles of a group, no zero points
  half,            ///< the same with zero points
  single,          ///< float32, whole tiles of a group
  fine,            ///< of either type, several groups in a tile
};

/// Sizes and places of a block's scales in shared memory, part of a kernel's argument.
struct ScalesPlan {
  int num_pairs = 0;             ///< of the weight
  int tiles_of_group = 0;        ///< 0: a tile has several groups
  int scale_row_bytes = 0;       ///< scales of a row of tiles
  int zero_point_row_bytes = 0;  ///< zero points likewise; 0: none
  int scales_at = 0;             ///< offsets in shared memory
  int zero_points_at = 0;

  /// For blocks of so many pairs, from `at` on; the first byte behind them goes to `end`.
  static ScalesPlan of(const QuantizedWeight& weight, std::int64_t pairs_of_block, std::int64_t at,
                       std::int64_t& end) {
    const std::int64_t scales_of_row = weight.num_groups * kQuantTileRows;
    ScalesPlan plan;
    plan.num_pairs =
        static_cast<int>((weight.weight_rows + 2 * kQuantTileRows - 1) / (2 * kQuantTileRows));
    plan.tiles_of_group = static_cast<int>(weight.group_size / quant_tile_inputs(weight.stored));
    plan.scale_row_bytes =
        static_cast<int>(scales_of_row * static_cast<int>(dtype_bytes(weight.scale_dtype)));
    plan.zero_point_row_bytes = weight.zero_points == nullptr ? 0 : static_cast<int>(scales_of_row);
    plan.scales_at = static_cast<int>(at);
    at += 2 * pairs_of_block * plan.scale_row_bytes;
    plan.zero_points_at = static_cast<int>(at);
    end = (at + 2 * pairs_of_block * plan.zero_point_row_bytes + 15) / 16 * 16;
    return plan;
  }
};

/// The scales and zero points of a block's pairs in shared memory, and those of one tile for
/// multiply_tile_pair(). Pair p has the rows of tiles p and p + num_pairs.
template <DType kStored, Scales kScales>
class BlockScales {
 public:
  static constexpr bool kFineGroups = kScales == Scales::fine;

  __device__ BlockScales(const QuantizedWeight& weight, const ScalesPlan& plan, int num_pairs,
                         std::byte* shared)
      : weight_(weight), plan_(plan), shared_(shared), num_pairs_(num_pairs) {}

  /// Copies those of the pairs from `begin` on; run by the block. Commits a group.
  __device__ void copy(int begin) const {
    for (int part = 0; part < 2; ++part) {
      const std::int64_t first = begin + part * plan_.num_pairs;
      const auto* scales =
          static_cast<const std::byte*>(weight_.scales) + first * plan_.scale_row_bytes;
      const int scale_bytes = num_pairs_ * plan_.scale_row_bytes;
      std::byte* to = shared_ + plan_.scales_at + part * scale_bytes;
#pragma unroll 1
      for (int i = 16 * static_cast<int>(threadIdx.x); i < scale_bytes;
           i += 16 * static_cast<int>(blockDim.x)) {
        copy_16_bytes_async(to + i, scales + i);
      }
      if (!has_zero_points()) continue;
      const std::uint8_t* zero_points = weight_.zero_points + first * plan_.zero_point_row_bytes;
      const int zero_point_bytes = num_pairs_ * plan_.zero_point_row_bytes;
      to = shared_ + plan_.zero_points_at + part * zero_point_bytes;
#pragma unroll 1
      for (int i = 8 * static_cast<int>(threadIdx.x); i < zero_point_bytes;
           i += 8 * static_cast<int>(blockDim.x)) {
        copy_8_bytes_async(to + i, zero_points + i);
      }
    }
    end_copy_group();
  }

  /// Moves to a tile of the block's pair `pair`.
  __device__ void place(int pair, int tile) {
    int group = tile * groups_of_tile();
    if constexpr (!kFineGroups) {
      group = tile / plan_.tiles_of_group;
      left_ = (group + 1) * plan_.tiles_of_group - tile;
    }
    const int row = static_cast<int>(threadIdx.x) % kWarpSize / 4;
    scales_ = shared_ + plan_.scales_at + pair * plan_.scale_row_bytes +
              (group * kQuantTileRows + row) * scale_bytes();
    second_scales_ = num_pairs_ * plan_.scale_row_bytes;
    zero_points_ = reinterpret_cast<const std::uint8_t*>(shared_) + plan_.zero_points_at +
                   pair * plan_.zero_point_row_bytes + group * kQuantTileRows + row;
    second_zero_points_ = num_pairs_ * plan_.zero_point_row_bytes;
  }

  /// Moves to the row's next tile.
  __device__ void move_on() {
    if constexpr (kFineGroups) {
      scales_ += groups_of_tile() * kQuantTileRows * scale_bytes();
      zero_points_ += groups_of_tile() * kQuantTileRows;
    } else if (--left_ == 0) {
      left_ = plan_.tiles_of_group;
      scales_ += kQuantTileRows * scale_bytes();
      zero_points_ += kQuantTileRows;
    }
  }

  __device__ int group_segments() const { return group_size() / kSegmentInputs; }
  __device__ bool has_zero_points() const {
    return kScales != Scales::half_symmetric && plan_.zero_point_row_bytes != 0;
  }
  __device__ float scale(int which, int group) const {
    const std::byte* at = scales_ + which * second_scales_ + group * kQuantTileRows * scale_bytes();
    return has_half_scales() ? __half2float(*reinterpret_cast<const __half*>(at))
                             : *reinterpret_cast<const float*>(at);
  }
  __device__ int zero_point(int which, int group) const {
    return zero_points_[which * second_zero_points_ + group * kQuantTileRows];
  }

 private:
  __device__ bool has_half_scales() const {
    if constexpr (kScales == Scales::fine) {
      return weight_.scale_dtype == DType::float16;
    } else {
      return kScales != Scales::single;
    }
  }
  __device__ int scale_bytes() const { return has_half_scales() ? 2 : 4; }
  __device__ int group_size() const { return static_cast<int>(weight_.group_size); }
  __device__ int groups_of_tile() const {
    return kFineGroups ? kQuantTileInputs<kStored> / group_size() : 1;
  }

  const QuantizedWeight& weight_;
  const ScalesPlan& plan_;
  std::byte* shared_;
  int num_pairs_;
  int left_ = 0;  ///< tiles of the group, this one included
  const std::byte* scales_ = nullptr;
  int second_scales_ = 0;
  const std::uint8_t* zero_points_ = nullptr;
  int second_zero_points_ = 0;
};

}  // namespace quern::kernels
