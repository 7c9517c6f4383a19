#pragma once

#include "kernels/attention/decode/attention_decode.h"
#include "kernels/common/reduce.cuh"

namespace quern::kernels {

/// What the threads of a block of a persistent step do, by threadIdx.y.
enum class StepRole : unsigned { multiply, attend };
inline constexpr int kStepRoles = 2;

/// Warps of a role, threadIdx.x: as attention takes.
inline constexpr int kRoleWarps = kDecodeHeads;
inline constexpr int kRoleThreads = kWarpSize * kRoleWarps;

__device__ inline StepRole step_role() { return static_cast<StepRole>(threadIdx.y); }

/// A barrier of the block's threads of the calling thread's role.
__device__ inline void sync_role() {
  if (step_role() == StepRole::multiply) {
    asm volatile("bar.sync 1, %0;" ::"n"(kRoleThreads) : "memory");
  } else {
    asm volatile("bar.sync 2, %0;" ::"n"(kRoleThreads) : "memory");
  }
}

}  // namespace quern::kernels
