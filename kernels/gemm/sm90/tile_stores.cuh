#pragma once

#include "kernels/common/sm90/mbarrier.cuh"
#include "kernels/gemm/sm90/gemm_block.cuh"

namespace quern::kernels {

/// Stores a warpgroup's output by way of shared memory, so that it leaves while the next tile is
/// multiplied. All threads of the warpgroup call the same.
template <typename Block>
class TileStores {
 public:
  static constexpr int kBoxes = Block::kOutBoxes;  ///< between begin() and end()

  __device__ TileStores(const GemmSm90KernelParams& params, typename Block::SharedMemory& shared,
                        int group)
      : p_(params), boxes_(shared.out[group]), barrier_(Block::kOwnBarrier + group) {}

  /// Waits until there is room for kBoxes boxes.
  __device__ void begin() {
    if (is_leader()) wait_for_store_reads<Block::kOutSlots - 1>();
    named_barrier_wait(barrier_, 128);
  }

  /// Writes 16 bytes of the i-th box: of row lane / 4 of the warp's 16, or of the eighth behind it,
  /// the chunk lane % 4.
  __device__ void put(int i, int half, const uint4& chunk) {
    const int thread = static_cast<int>(threadIdx.x) % 128;
    const int row = thread / 32 * 16 + half * 8 + thread % 32 / 4;
    *reinterpret_cast<uint4*>(boxes_[slot_][i] + row * 64 + thread % 4 * 16) = chunk;
  }

  /// Stores the boxes beside each other, the first at (row, feature).
  __device__ void end(int row, int feature) {
    fence_shared_writes();
    named_barrier_wait(barrier_, 128);
    if (is_leader()) {
      for (int i = 0; i < kBoxes && row < p_.num_rows; ++i, feature += 32) {
        if (feature < p_.epilogue.out_features) {
          store_box_async(&p_.out, feature, row, boxes_[slot_][i]);
        }
      }
      end_store_group();
    }
    slot_ = (slot_ + 1) % Block::kOutSlots;
  }

  /// Waits for all stores; before the block ends.
  __device__ void finish() {
    if (is_leader()) wait_for_stores();
  }

 private:
  __device__ static bool is_leader() { return threadIdx.x % 128 == 0; }

  const GemmSm90KernelParams& p_;
  unsigned char (&boxes_)[Block::kOutSlots][Block::kOutBoxes][Block::kOutBoxBytes];
  int barrier_;
  int slot_ = 0;
};

}  // namespace quern::kernels
