#pragma once

namespace quern::kernels {

/// Some consecutive slots of a sequence.
struct SlotRange {
  int begin = 0;
  int end = 0;

  __device__ bool holds(int slot) const { return slot >= begin && slot < end; }
};

}  // namespace quern::kernels
