#pragma once

#include "kernels/common/sm90/cluster.cuh"
#include "kernels/common/sm90/mbarrier.cuh"
#include "kernels/gemm/sm90/gemm_sm90.h"

namespace quern::kernels {

struct GemmSm90KernelParams {
  CUtensorMap rows;     ///< boxes [128, kDepth]
  CUtensorMap weights;  ///< boxes [kBoxRows, kDepth]
  CUtensorMap out;      ///< boxes [64, 32], not swizzled
  std::int64_t num_rows = 0;
  Epilogue epilogue;
  int row_tiles = 0;      ///< of a block, or of a pair
  int feature_tiles = 0;  ///< of the output
  int depth_steps = 0;    ///< stages that a tile's whole in_features take
};

/// What a block of gemm_sm90() is made of: a warpgroup of which one thread brings rows and weights
/// to shared memory, and two that multiply, 64 rows each.
template <typename T, int kWidth_, int kPair_, int kSplits_>
struct GemmBlock {
  using Element = T;  ///< of rows and weights
  using Sum = float;
  using KernelParams = GemmSm90KernelParams;
  /// Whether every epilogue is long, not only a gated one: see GemmConsumer.
  static constexpr bool kLongEpilogue = false;
  /// Whether sums become products by products(), in the epilogue.
  static constexpr bool kScalesProducts = false;
  /// Whether a stage's sums, which the tensor cores keep with few bits, are added in float32.
  static constexpr bool kPromotesSums = false;
  /// Whether weights are of bytes in tiles (TileGeometry).
  static constexpr bool kWeightsInTiles = false;
  static constexpr int kWidth = kWidth_;
  static constexpr int kPair = kPair_;
  static constexpr int kSplits = kSplits_;
  static constexpr int kCluster = kPair * kSplits;
  static_assert(kPair == 1 || kSplits == 1);
  static constexpr int kRows = 128;
  static constexpr int kDepth = 128 / sizeof(T);  ///< of a stage: a swizzled row of 128 bytes
  static constexpr int kConsumers = 2;
  static constexpr int kThreads = 128 * (1 + kConsumers);
  static constexpr int kRowBytes = kRows * 128;
  /// Weights come in two boxes, of which each block of a pair brings one to both.
  static constexpr int kBoxes = 2;
  static constexpr int kBoxRows = kWidth / kBoxes;
  static constexpr int kStageBytes = kRowBytes + kWidth * 128;
  static constexpr int kStages = kWidth == 256 ? 4 : kWidth == 192 ? 5 : 6;
  /// A thread's registers: 128 · 40 + 256 · 232 of a multiprocessor's 65536.
  static constexpr int kProducerRegisters = 40;
  static constexpr int kConsumerRegisters = 232;

  /// The output leaves through shared memory, in boxes of 64 rows and 32 columns. Some of a
  /// warpgroup are stored at a time, while the next ones are written.
  static constexpr int kOutBoxBytes = 64 * 64;
  static constexpr int kOutBoxes = kWidth == 192 ? 3 : 2;
  static constexpr int kOutSlots = kWidth == 192 ? 1 : 2;

  // Named barriers.
  static constexpr int kExchangeBarrier = 1;
  static constexpr int kOwnBarrier = 2;  ///< and 3: a warpgroup's own
  static constexpr int kLeadBarrier = 4;

  struct SharedMemory {
    /// [128 rows | kWidth weight rows, kDepth] T each, swizzled. With kSplits > 1 at last the sums.
    unsigned char stages[kStages][kStageBytes];
    unsigned char out[kConsumers][kOutSlots][kOutBoxes][kOutBoxBytes];
    std::uint64_t full[kStages], empty[kStages];
  };
  static_assert(sizeof(SharedMemory) <= 227 * 1024);

  __device__ static void init_barriers(SharedMemory& shared) {
    constexpr int kConsumerWarps = 4 * kConsumers;
    for (int stage = 0; stage < kStages; ++stage) {
      init_barrier(&shared.full[stage], 1);
      init_barrier(&shared.empty[stage], kConsumerWarps * kPair);
    }
    publish_barriers();
  }
};

/// A tile and the steps of its in_features that a block takes.
struct GemmWork {
  int row = 0;      ///< the block's first one
  int feature = 0;  ///< the first one of the output
  int first_step = 0;
  int num_steps = 0;
};

/// The weight row of a tile's column, -1 where there is none: if gated, up rows are the second
/// half.
template <int kWidth>
__device__ std::int64_t weight_row_of(const Epilogue& epilogue, int feature, int column) {
  const bool is_up = epilogue.gated && column >= kWidth / 2;
  const std::int64_t own = feature + (is_up ? column - kWidth / 2 : column);
  return own < epilogue.out_features ? own + (is_up ? epilogue.out_features : 0) : -1;
}

/// The tiles of a block, in order.
template <typename Block>
class GemmSchedule {
 public:
  __device__ explicit GemmSchedule(const GemmSm90KernelParams& params)
      : p_(params),
        rank_(Block::kCluster > 1 ? cluster_rank() : 0),
        next_(static_cast<int>(blockIdx.x) / Block::kCluster) {}

  /// Whether there is another tile, which becomes work().
  __device__ bool advance() {
    if (next_ >= p_.row_tiles * p_.feature_tiles) return false;
    // Tiles that run at a time are a few rows by many features, so that L2 holds what they share.
    constexpr int kBandTiles = 16 / Block::kPair;
    const int band = next_ / (kBandTiles * p_.feature_tiles);
    const int rest = next_ - band * kBandTiles * p_.feature_tiles;
    const int height = min(kBandTiles, p_.row_tiles - band * kBandTiles);
    const int row_tile = band * kBandTiles + rest % height;
    work_.row = (row_tile * Block::kPair + (Block::kPair > 1 ? rank_ : 0)) * Block::kRows;
    work_.feature = rest / height * features_of_tile();
    const int split = Block::kSplits > 1 ? rank_ : 0;
    work_.first_step = p_.depth_steps * split / Block::kSplits;
    work_.num_steps = p_.depth_steps * (split + 1) / Block::kSplits - work_.first_step;
    next_ += static_cast<int>(gridDim.x) / Block::kCluster;
    return true;
  }
  __device__ const GemmWork& work() const { return work_; }
  __device__ int rank() const { return rank_; }

 private:
  __device__ int features_of_tile() const {
    return p_.epilogue.gated ? Block::kWidth / 2 : Block::kWidth;
  }

  const GemmSm90KernelParams& p_;
  int rank_;
  int next_;
  GemmWork work_;
};

}  // namespace quern::kernels
