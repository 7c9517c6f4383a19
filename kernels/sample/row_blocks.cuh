#pragma once

#include <cstdint>

namespace quern::kernels {

/// The blocks that share a row and may wait for each other: a grid barrier without a cooperative
/// launch, which a device loop's graph could not contain. Waiting is safe only if all blocks of a
/// row are co-resident: they are few enough for the GPU, and rows are assigned in the order in
/// which blocks start (see take_ticket()).
class RowBlocks {
 public:
  /// `arrivals` is zero before and after. All `count` blocks wait equally often and finish.
  /// `target`: target() of an object that these blocks have used so far.
  __device__ RowBlocks(std::uint32_t* arrivals, int count, int index, std::uint32_t target = 0)
      : arrivals_(arrivals),
        count_(static_cast<std::uint32_t>(count)),
        index_(index),
        target_(target) {}

  __device__ int index() const { return index_; }
  __device__ int count() const { return static_cast<int>(count_); }
  /// The number of arrivals after the last barrier.
  __device__ std::uint32_t target() const { return target_; }

  /// Barrier over the row's blocks; earlier writes to global memory are visible after it (through
  /// L2: read them with __ldcg).
  __device__ void wait_for_all() {
    target_ += count_;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
      atomicAdd(arrivals_, 1u);
      while (static_cast<std::int32_t>(load(arrivals_) - target_) < 0) {
      }
      __threadfence();
    }
    __syncthreads();
  }

  /// The block's last arrival; true in the last block. The others' writes are visible to it.
  __device__ bool finish() {
    __shared__ bool last;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
      last = atomicAdd(arrivals_, 1u) == target_ + count_ - 1;
      if (last) *arrivals_ = 0;
      __threadfence();
    }
    __syncthreads();
    return last;
  }

 private:
  __device__ static std::uint32_t load(const std::uint32_t* word) {
    std::uint32_t value;
    asm volatile("ld.relaxed.gpu.global.u32 %0, [%1];" : "=r"(value) : "l"(word) : "memory");
    return value;
  }

  std::uint32_t* arrivals_;
  std::uint32_t count_;
  int index_;
  std::uint32_t target_;
};

/// A number for each of `count` blocks, in the order in which they start. A block that waits only
/// for blocks with smaller numbers, or for larger ones that are co-resident with it, waits for
/// blocks that run or will run. `tickets` is zero before and after.
__device__ inline int take_ticket(std::uint32_t* tickets, int count) {
  __shared__ std::uint32_t ticket;
  if (threadIdx.x == 0) {
    ticket = atomicAdd(tickets, 1u);
    if (ticket == static_cast<std::uint32_t>(count - 1)) *tickets = 0;
    __threadfence();
  }
  __syncthreads();
  return static_cast<int>(ticket);
}

}  // namespace quern::kernels
