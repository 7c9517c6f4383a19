#pragma once

#include <cuda_fp8.h>

#include <cstdint>

#include "kernels/common/sm90/wgmma.cuh"

namespace quern::kernels {

// wgmma of E4M3, see wgmma.cuh: sums [64, N] += a [64, 32] · b [32, N], both in shared memory and
// K-major. sm_90a only. The tensor core adds with 13 bits below the largest addend.

#define QUERN_WGMMA_FLOAT8(n, count, inputs, flag, ...)                         \
  asm volatile("{\n.reg .pred accumulate;\nsetp.ne.b32 accumulate, " flag       \
               ", 0;\n"                                                         \
               "wgmma.mma_async.sync.aligned.m64n" n                            \
               "k32.f32.e4m3.e4m3"                                              \
               " {" QUERN_NAMES_##count "}, " inputs ", accumulate, 1, 1;\n}\n" \
               : QUERN_SUMS_##count("+f")                                       \
               : __VA_ARGS__, "r"(static_cast<int>(accumulate)))

__device__ inline void wgmma_float8(float (&sums)[64], std::uint64_t a, std::uint64_t b,
                                    bool accumulate) {
  QUERN_WGMMA_FLOAT8("128", 64, "%64, %65", "%66", "l"(a), "l"(b));
}
__device__ inline void wgmma_float8(float (&sums)[96], std::uint64_t a, std::uint64_t b,
                                    bool accumulate) {
  QUERN_WGMMA_FLOAT8("192", 96, "%96, %97", "%98", "l"(a), "l"(b));
}

#undef QUERN_WGMMA_FLOAT8

/// swizzled_matrix() of rows of 64 bytes, whose chunks are swizzled by row / 2 % 4 (TMA's 64-byte
/// swizzle); the start of row 0 is a multiple of 512 bytes.
__device__ inline std::uint64_t narrow_matrix(const void* first) {
  constexpr std::uint64_t kSwizzle64 = std::uint64_t{2} << 62;
  constexpr std::uint64_t kEightRows = std::uint64_t{512 >> 4} << 32;
  const std::uint32_t address = (shared_address(first) & 0x3ffff) >> 4;
  return kSwizzle64 | kEightRows | __shfl_sync(~0u, address, 0);
}

}  // namespace quern::kernels
