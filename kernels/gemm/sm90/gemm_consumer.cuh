#pragma once

#include "kernels/common/dependent_launch.cuh"
#include "kernels/common/sm90/wgmma.cuh"
#include "kernels/gemm/sm90/gemm_block.cuh"
#include "kernels/gemm/sm90/tile_epilogue.cuh"
#include "kernels/gemm/sm90/tile_stores.cuh"

namespace quern::kernels {

/// Multiplies a block's tiles, by two warpgroups. T: of the output.
template <typename T, typename Block>
class GemmConsumer {
 public:
  using SharedMemory = typename Block::SharedMemory;

  __device__ GemmConsumer(const typename Block::KernelParams& params, SharedMemory& shared)
      : p_(params),
        shared_(shared),
        schedule_(params),
        group_(__shfl_sync(~0u, static_cast<int>(threadIdx.x) / 128 - 1, 0)),
        stores_(params, shared, group_) {}

  __device__ void run() {
    wait_for_earlier_kernels();  // they may still read what is written here
    while (schedule_.advance()) {
      const GemmWork& work = schedule_.work();
      typename Block::Sum sums[kSums];
      if constexpr (Block::kPromotesSums) {
        multiply_promoted(work.num_steps, sums);
      } else {
        multiply(work.num_steps, sums);
      }
      TileEpilogue<T> epilogue(p_.epilogue, p_.num_rows, work.row + 64 * group_, work.feature);
      if constexpr (Block::kSplits > 1) {
        finish_split(sums, epilogue);
      } else if constexpr (Block::kScalesProducts) {
        epilogue.template finish<Block::kWidth>(Block::products(sums, p_, shared_, work, group_),
                                                stores_);
      } else {
        epilogue.template finish<Block::kWidth>(sums, stores_);
      }
    }
    stores_.finish();
  }

 private:
  static constexpr int kSums = Block::kWidth / 2;

  __device__ void multiply(int num_steps, typename Block::Sum (&sums)[kSums]) {
    // The first warpgroup leads by a stage, so that its epilogue runs beside the other's products.
    const bool leads =
        Block::kWidth == 256 && (Block::kLongEpilogue || p_.epilogue.gated) && num_steps > 1;
    if (leads && group_ == 1) named_barrier_wait(Block::kLeadBarrier, 128 * Block::kConsumers);
    int last_stage = 0;
    for (int i = 0; i < num_steps; ++i) {
      const int stage = place_.stage;
      wait_for_phase(&shared_.full[stage], place_.parity);
      const unsigned char* rows = shared_.stages[stage];
      const std::uint64_t a = swizzled_matrix(rows + group_ * 64 * 128, 0);
      const std::uint64_t b = swizzled_matrix(rows + Block::kRowBytes, 0);
      wgmma_fence();
#pragma unroll
      for (int k = 0; k < 4; ++k) {  // of 32 bytes
        wgmma<typename Block::Element>(sums, advanced(a, 32 * k), advanced(b, 32 * k),
                                       i > 0 || k > 0);
      }
      wgmma_commit();
      wgmma_wait<1>();
      if (leads && group_ == 0 && i == 1) {
        named_barrier_arrive(Block::kLeadBarrier, 128 * Block::kConsumers);
      }
      if (i > 0) release(last_stage);
      last_stage = stage;
      place_.advance();
    }
    wgmma_wait<0>();
    pin_registers(sums);
    release(last_stage);
  }

  /// The same with each stage's sums added in float32. Meanwhile the tensor cores have the other
  /// warpgroup's stage.
  __device__ void multiply_promoted(int num_steps, float (&sums)[kSums]) {
#pragma unroll
    for (float& sum : sums) sum = 0.0f;
    for (int i = 0; i < num_steps; ++i) {
      const int stage = place_.stage;
      wait_for_phase(&shared_.full[stage], place_.parity);
      const unsigned char* rows = shared_.stages[stage];
      float of_stage[kSums];
      wgmma_fence();
      Block::multiply(of_stage, rows + group_ * 64 * 128, rows + Block::kRowBytes);
      wgmma_commit();
      wgmma_wait<0>();
      pin_registers(of_stage);
      release(stage);
#pragma unroll
      for (int j = 0; j < kSums; ++j) sums[j] += of_stage[j];
      place_.advance();
    }
  }

  /// Lets the stage be loaded again: in a pair both blocks load into it.
  __device__ void release(int stage) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    if constexpr (Block::kPair > 1) {
      if (lane < Block::kPair) arrive_in_block(&shared_.empty[stage], lane);
    } else {
      if (lane == 0) arrive(&shared_.empty[stage]);
    }
  }

  /// Exchanges sums with the other blocks of the cluster through their stages, which nothing is
  /// loaded into any more; each finishes some of the columns.
  __device__ void finish_split(const float (&sums)[kSums], const TileEpilogue<T>& epilogue) {
    constexpr int kThreads = 128 * Block::kConsumers;
    static_assert(kThreads * kSums * sizeof(float) <= sizeof(shared_.stages));
    auto* own = reinterpret_cast<float4*>(shared_.stages) + (threadIdx.x - 128);
    named_barrier_wait(Block::kExchangeBarrier,
                       kThreads);  // the other warpgroup may still multiply
#pragma unroll
    for (int i = 0; i < kSums / 4; ++i) {
      own[i * kThreads] = {sums[4 * i], sums[4 * i + 1], sums[4 * i + 2], sums[4 * i + 3]};
    }
    cluster_sync();
    std::uint32_t others[Block::kSplits];
#pragma unroll
    for (int rank = 0; rank < Block::kSplits; ++rank) others[rank] = address_in_block(own, rank);
    epilogue.template finish_some<Block::kWidth, Block::kSplits>(
        schedule_.rank(), [&](int fragment, float(&total)[4]) {
          const int offset = fragment * kThreads * static_cast<int>(sizeof(float4));
#pragma unroll
          for (int rank = 0; rank < Block::kSplits; ++rank) {
            const float4 v = load_from_block(others[rank] + offset);
            total[0] += v.x;
            total[1] += v.y;
            total[2] += v.z;
            total[3] += v.w;
          }
        });
  }

  const typename Block::KernelParams& p_;
  SharedMemory& shared_;
  GemmSchedule<Block> schedule_;
  int group_;  ///< the warpgroup's number among the consumers
  TileStores<Block> stores_;
  RingPlace<Block::kStages> place_;
};

}  // namespace quern::kernels
