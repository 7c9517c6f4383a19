#pragma once

#include "kernels/common/dependent_launch.cuh"
#include "kernels/gemm/sm90/gemm_block.cuh"
#include "kernels/gemm/sm90/tile_copies.cuh"

namespace quern::kernels {

/// Brings a block's tiles to shared memory, by one thread.
template <typename Block>
class GemmProducer {
 public:
  using SharedMemory = typename Block::SharedMemory;

  __device__ GemmProducer(const GemmSm90KernelParams& params, SharedMemory& shared)
      : p_(params), shared_(shared), schedule_(params) {}

  __device__ void run() {
    if (!schedule_.advance()) return;
    // Weights do not wait for earlier kernels.
    const GemmWork first = schedule_.work();
    const int ahead = min(first.num_steps, Block::kStages);
    for (int i = 0; i < ahead; ++i) load_weights(first, i, i);
    wait_for_earlier_kernels();
    for (int i = 0; i < ahead; ++i) load_rows(first, i, i);
    place_.stage = ahead % Block::kStages;
    place_.parity = ahead / Block::kStages;
    load(first, ahead);
    while (schedule_.advance()) load(schedule_.work(), 0);
  }

 private:
  __device__ void load(const GemmWork& work, int first) {
    for (int i = first; i < work.num_steps; ++i) {
      wait_for_phase(&shared_.empty[place_.stage], place_.parity ^ 1);
      load_weights(work, i, place_.stage);
      load_rows(work, i, place_.stage);
      place_.advance();
    }
  }

  /// Announces all bytes of the stage as well.
  __device__ void load_weights(const GemmWork& work, int step, int stage) {
    std::uint64_t* full = &shared_.full[stage];
    arrive_and_expect(full, Block::kStageBytes);
    if constexpr (Block::kWeightsInTiles) return load_tiles(work, step, stage);
    const int column = (work.first_step + step) * Block::kDepth;
    if constexpr (Block::kPair > 1) {
      constexpr std::uint16_t kAll = (1 << Block::kPair) - 1;
      const int box = schedule_.rank();
      copy_box_to_blocks_async(box_of(stage, box), &p_.weights, column, weight_row(work, box), full,
                               kAll);
    } else {
#pragma unroll
      for (int box = 0; box < Block::kBoxes; ++box) {
        copy_box_async(box_of(stage, box), &p_.weights, column, weight_row(work, box), full);
      }
    }
  }
  /// Weights in tiles: each box comes in two, of a tile's inputs each.
  __device__ void load_tiles(const GemmWork& work, int step, int stage) {
    std::uint64_t* full = &shared_.full[stage];
#pragma unroll
    for (int box = 0; box < Block::kBoxes; ++box) {
      if (Block::kPair > 1 && box != schedule_.rank()) continue;
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        unsigned char* to = shared_.stages[stage] + Block::kRowBytes +
                            (half * Block::kWidth + box * Block::kBoxRows) * 64;
        copy_tiles_async<Block::kPair>(to, &p_.weights, weight_row(work, box) / 8,
                                       2 * (work.first_step + step) + half, full);
      }
    }
  }
  __device__ unsigned char* box_of(int stage, int box) {
    return shared_.stages[stage] + Block::kRowBytes + box * Block::kBoxRows * 128;
  }
  /// The box's first weight row. If gated, up rows are the second half.
  __device__ int weight_row(const GemmWork& work, int box) const {
    const int row = work.feature + box * Block::kBoxRows;
    const bool is_up = p_.epilogue.gated && box >= Block::kBoxes / 2;
    return is_up ? static_cast<int>(p_.epilogue.out_features) + row - Block::kWidth / 2 : row;
  }
  __device__ void load_rows(const GemmWork& work, int step, int stage) {
    copy_box_async(shared_.stages[stage], &p_.rows, (work.first_step + step) * Block::kDepth,
                   work.row, &shared_.full[stage]);
  }

  const GemmSm90KernelParams& p_;
  SharedMemory& shared_;
  GemmSchedule<Block> schedule_;
  RingPlace<Block::kStages> place_;
};

}  // namespace quern::kernels
