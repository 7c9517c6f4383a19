#pragma once

#include <cstdint>

#include "kernels/common/convert.cuh"

namespace quern::kernels {

// Values that one block of a persistent kernel writes and others read: two elements in 32 bits,
// beside them the number of the step that they belong to, stored and loaded as one. Who sees the
// number sees the elements, so that no fence, no counter and no second trip to L2 is needed.
// Source: NCCL's "LL" protocol.

/// Two elements and their step.
struct alignas(8) FlaggedPair {
  std::uint32_t elements;
  std::uint32_t step;
};

__device__ inline void store_flagged(FlaggedPair* to, std::uint32_t elements, std::uint32_t step) {
  asm volatile("st.relaxed.gpu.global.v2.u32 [%0], {%1, %2};" ::"l"(to), "r"(elements), "r"(step)
               : "memory");
}

/// Stores two pairs; `to` is aligned to 16 bytes.
__device__ inline void store_flagged(FlaggedPair* to, std::uint32_t first, std::uint32_t second,
                                     std::uint32_t step) {
  asm volatile("st.relaxed.gpu.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(to), "r"(first),
               "r"(step), "r"(second), "r"(step)
               : "memory");
}

/// Two pairs, as they are; `from` is aligned to 16 bytes.
__device__ inline uint4 load_flagged(const FlaggedPair* from) {
  uint4 words;
  asm volatile("ld.relaxed.gpu.global.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(words.x), "=r"(words.y), "=r"(words.z), "=r"(words.w)
               : "l"(from)
               : "memory");
  return words;
}

/// The elements of two pairs that were loaded, once both are of the step. Pairs that never come are
/// a bug, or their block is not resident: a fault then, not a GPU that hangs.
__device__ inline uint2 wait_for_flags(uint4 words, const FlaggedPair* from, std::uint32_t step) {
  constexpr int kLoadsPerCheck = 1 << 12;
  constexpr std::uint64_t kPatience = 10'000'000'000;  // nanoseconds
  std::uint64_t begin = 0;
#pragma unroll 1
  for (int i = 1; words.y != step || words.w != step; ++i) {
    words = load_flagged(from);
    if (i % kLoadsPerCheck != 0) continue;
    std::uint64_t now;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
    if (begin == 0) begin = now;
    if (now - begin > kPatience) __trap();
  }
  return {words.x, words.z};
}

}  // namespace quern::kernels
