#pragma once

#include "kernels/common/dependent_launch.cuh"
#include "kernels/common/epilogue.cuh"
#include "kernels/common/sm90/mbarrier.cuh"
#include "kernels/common/sm90/wgmma.cuh"
#include "kernels/quant/block_scales.cuh"
#include "kernels/quant/gemm/quantized_gemm.h"

namespace quern::kernels::quantized_sm90 {

inline constexpr int kWarpgroup = 128;
inline constexpr int kMaxWarpgroups = 3;
inline constexpr int kMaxThreads =
    kMaxWarpgroups * kWarpgroup + kWarpSize;  ///< and the producer's warp
inline constexpr int kPairsOfWarpgroup = 4;
inline constexpr int kMaxSplits = 4;
inline constexpr int kRowStages = 4;
inline constexpr int kWeightStages = 4;
inline constexpr int kWeightStageBytes = 2 * kQuantTileBytes;  ///< of a warp: a pair of tiles
inline constexpr int kConsumerBarrier = 1;

/// Kernel argument.
struct Plan {
  CUtensorMap rows;  ///< boxes of kRows rows by 64 inputs, swizzled
  QuantizedGemmParams params;
  ScalesPlan scales;
  int warpgroups = 0;
  int splits = 0;      ///< blocks of a cluster
  int num_tiles = 0;   ///< along the inputs
  int weights_at = 0;  ///< the warps' rings, in shared memory behind the rows' stages
  int barriers_at = 0;
  int shared_bytes = 0;
};

/// What a block is made of. kRows: rows of the batch, wgmma's N.
template <DType kStored, int kRows>
struct Layout {
  static constexpr int kTileInputs = kQuantTileInputs<kStored>;
  static constexpr int kBoxBytes = kRows * 128;
  static constexpr int kBoxes = kTileInputs / 64;  ///< of a tile
  static constexpr int kRowStageBytes = kBoxes * kBoxBytes;
  static_assert(kBoxBytes % 1024 == 0);
};

/// A block's tiles along the inputs.
struct TileRange {
  int begin;
  int end;

  __device__ TileRange(const Plan& plan, int split) {
    const int each = (plan.num_tiles + plan.splits - 1) / plan.splits;
    begin = min(split * each, plan.num_tiles);
    end = min(begin + each, plan.num_tiles);
  }
};

/// Loads the batch's rows from `first_row` on, by one thread.
template <typename L>
__device__ inline void produce_rows(const Plan& plan, const TileRange& range, int first_row,
                                    std::byte* stages, std::uint64_t* full, std::uint64_t* empty) {
  wait_for_earlier_kernels();
  RingPlace<kRowStages> place;
  for (int tile = range.begin; tile < range.end; ++tile) {
    wait_for_phase(&empty[place.stage], place.parity ^ 1);
    arrive_and_expect(&full[place.stage], L::kRowStageBytes);
#pragma unroll
    for (int box = 0; box < L::kBoxes; ++box) {
      copy_box_async(stages + place.stage * L::kRowStageBytes + box * L::kBoxBytes, &plan.rows,
                     tile * L::kTileInputs + 64 * box, first_row, &full[place.stage]);
    }
    place.advance();
  }
}

/// Streams a warp's tiles of one pair through its ring; a lane reads only what it copied itself.
class PairStream {
 public:
  __device__ PairStream(const Plan& plan, int pair, const TileRange& range, std::byte* ring)
      : from_(plan.params.weight.values +
              (std::int64_t{pair} * plan.num_tiles + range.begin) * kQuantTileBytes + own_bytes()),
        second_(std::int64_t{plan.scales.num_pairs} * plan.num_tiles * kQuantTileBytes),
        left_(range.end - range.begin),
        ring_(ring + own_bytes()) {}

  /// Weights may be read while earlier kernels still run.
  __device__ void start() {
#pragma unroll
    for (int i = 0; i < kWeightStages; ++i) move_on();
  }
  __device__ void take(uint4 (&own)[2]) const {
    wait_for_copy_groups<kWeightStages - 1>();
    own[0] = *reinterpret_cast<const uint4*>(ring_ + place_);
    own[1] = *reinterpret_cast<const uint4*>(ring_ + place_ + kQuantTileBytes);
  }
  __device__ void move_on() {
    if (left_ > 0) {
      copy_16_bytes_async(ring_ + place_, from_);
      copy_16_bytes_async(ring_ + place_ + kQuantTileBytes, from_ + second_);
      from_ += kQuantTileBytes;
      --left_;
    }
    end_copy_group();
    place_ = (place_ + kWeightStageBytes) % (kWeightStages * kWeightStageBytes);
  }

 private:
  __device__ static int own_bytes() { return 16 * (static_cast<int>(threadIdx.x) % kWarpSize); }

  const std::uint8_t* from_;
  std::int64_t second_;
  int left_;
  std::byte* ring_;
  int place_ = 0;
};

/// sums += the tile's weights · the rows, from its stage.
template <typename T, DType kStored, int kRows, typename BlockScalesOfTile>
__device__ inline void multiply_tile(const uint4 (&own)[2], const BlockScalesOfTile& scales,
                                     const std::byte* rows, float (&sums)[kRows / 2]) {
  using L = Layout<kStored, kRows>;
  constexpr int kWords = Fragments<T, kStored>::kWords;
  constexpr int kSegments = kSegmentsOfTile<kStored>;
  const std::uint32_t words[2][4] = {{own[0].x, own[0].y, own[0].z, own[0].w},
                                     {own[1].x, own[1].y, own[1].z, own[1].w}};
  const auto zero_point_of = [&](int which) {
    if (kStored == DType::float8_e4m3 || !scales.has_zero_points()) {
      return kSymmetricZeroPoint<kStored>;
    }
    return scales.zero_point(which, 0);
  };
  const ZeroPoint<T, kStored> zero[2] = {ZeroPoint<T, kStored>(zero_point_of(0)),
                                         ZeroPoint<T, kStored>(zero_point_of(1))};
  std::uint32_t weights[kSegments][2][4];
#pragma unroll
  for (int segment = 0; segment < kSegments; ++segment) {
    std::uint32_t first[4];
    std::uint32_t second[4];
    Fragments<T, kStored>::dequantize(&words[0][segment * kWords], zero[0], first);
    Fragments<T, kStored>::dequantize(&words[1][segment * kWords], zero[1], second);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      weights[segment][half][0] = first[2 * half];
      weights[segment][half][1] = second[2 * half];
      weights[segment][half][2] = first[2 * half + 1];
      weights[segment][half][3] = second[2 * half + 1];
    }
  }
  float products[kRows / 2];
  wgmma_fence();
#pragma unroll
  for (int segment = 0; segment < kSegments; ++segment) {
    const std::uint64_t box = swizzled_matrix(rows + segment / 2 * L::kBoxBytes, 0);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      wgmma_rows<T>(products, weights[segment][half], advanced(box, 64 * (segment % 2) + 32 * half),
                    segment + half > 0);
    }
  }
  wgmma_commit();
  const float factors[2] = {scales.scale(0, 0) * kFragmentScale<T, kStored>,
                            scales.scale(1, 0) * kFragmentScale<T, kStored>};
  wgmma_wait<0>();
  pin_registers(products);
#pragma unroll
  for (int i = 0; i < kRows / 2; ++i) sums[i] += factors[i / 2 % 2] * products[i];
}

/// Applies the epilogue to the sums of a warp's pair by eight rows from `first_row` on and stores
/// them.
__device__ inline void finish_fragment(const Plan& plan, int pair, int first_row,
                                       const float4& sums) {
  const QuantizedGemmParams& p = plan.params;
  const int lane = static_cast<int>(threadIdx.x) % kWarpSize;
  if (pair >= plan.scales.num_pairs) return;
#pragma unroll 1
  for (int i = 0; i < 2; ++i) {
    const int row = first_row + lane % 4 * 2 + i;
    if (row >= p.num_rows) return;
    float product = i == 0 ? sums.x : sums.y;
    const float second = i == 0 ? sums.z : sums.w;
    std::int64_t feature = std::int64_t{pair} * kQuantTileRows + lane / 4;
#pragma unroll 1
    for (int which = 0; which < (p.epilogue.gated ? 1 : 2); ++which) {
      if (feature < p.epilogue.out_features) finish(p.epilogue, row, feature, product, second);
      feature += std::int64_t{plan.scales.num_pairs} * kQuantTileRows;
      product = second;
    }
  }
}

}  // namespace quern::kernels::quantized_sm90
