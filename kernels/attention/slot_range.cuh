#pragma once

namespace quern::kernels {

/// A contiguous range of a sequence's slots.
struct SlotRange {
  int begin = 0;
  int end = 0;

  __device__ bool holds(int slot) const { return slot >= begin && slot < end; }
};

}  // namespace quern::kernels
