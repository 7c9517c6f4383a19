#pragma once

#include <cstdint>

#include "kernels/common/async_copy.cuh"
#include "kernels/common/sm90/wgmma_instruction.cuh"

namespace quern::kernels {

// Asynchronous warpgroup MMA (128 threads, four consecutive warps): sums [64, N] in registers += a
// [64, 16] · b [16, N], b from shared memory. sm_90a only. A thread of warp w holds rows 16 w +
// lane / 4 and 8 further of the sums; element 4 j + i is element i of fragment j of mma_m16n8k16
// (mma.cuh). Source: PTX ISA, "Asynchronous warpgroup level matrix instructions".

/// Orders earlier register writes before the wgmmas that follow.
__device__ inline void wgmma_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }

/// Commits a group: the wgmmas that this warp has issued since the previous one.
__device__ inline void wgmma_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

/// Waits until at most the last kPending groups of this warp are in flight.
template <int kPending>
__device__ inline void wgmma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

/// Keeps the compiler from moving uses of registers across this point: it does not know that wgmma
/// writes them asynchronously.
template <int kCount>
__device__ inline void pin_registers(float (&registers)[kCount]) {
#pragma unroll
  for (float& value : registers) asm volatile("" : "+f"(value));
}
template <int kCount>
__device__ inline void pin_registers(int (&registers)[kCount]) {
#pragma unroll
  for (int& value : registers) asm volatile("" : "+r"(value));
}
/// Keeps the compiler from sinking the computation of these below this point.
template <int kCount>
__device__ inline void need_registers(const float (&registers)[kCount]) {
#pragma unroll
  for (const float value : registers) asm volatile("" ::"f"(value));
}

/// Matrix descriptor of a matrix in shared memory with rows of 128 bytes, whose 16-byte chunks are
/// swizzled by row % 8 (TMA's 128-byte swizzle); the start of row 0 is a multiple of 1024 bytes.
/// group_bytes: distance of column groups of 64, where columns are b's N.
__device__ inline std::uint64_t swizzled_matrix(const void* first, int group_bytes) {
  constexpr std::uint64_t kSwizzle128 = std::uint64_t{1} << 62;
  constexpr std::uint64_t kEightRows = std::uint64_t{1024 >> 4} << 32;
  const std::uint32_t address = (shared_address(first) & 0x3ffff) >> 4;
  const std::uint32_t group = static_cast<std::uint32_t>(group_bytes >> 4) << 16;
  // The shuffle makes the value warp-uniform for the compiler: descriptors stay in uniform
  // registers.
  return kSwizzle128 | kEightRows | __shfl_sync(~0u, group | address, 0);
}

/// The descriptor of the matrix that begins `bytes` further on.
__device__ inline std::uint64_t advanced(std::uint64_t matrix, int bytes) {
  return matrix + static_cast<std::uint64_t>(bytes >> 4);
}

// Products. a and b in shared memory are descriptors. Without `accumulate`, sums begin at zero.

/// a and b K-major: b has N rows, 128, 192 or 256.
template <typename T>
__device__ inline void wgmma(float (&sums)[64], std::uint64_t a, std::uint64_t b, bool accumulate) {
  QUERN_WGMMA(T, "128", 64, "%64, %65", "%66", "0, 0", "l"(a), "l"(b))
}
template <typename T>
__device__ inline void wgmma(float (&sums)[96], std::uint64_t a, std::uint64_t b, bool accumulate) {
  QUERN_WGMMA(T, "192", 96, "%96, %97", "%98", "0, 0", "l"(a), "l"(b))
}
template <typename T>
__device__ inline void wgmma(float (&sums)[128], std::uint64_t a, std::uint64_t b,
                             bool accumulate) {
  QUERN_WGMMA(T, "256", 128, "%128, %129", "%130", "0, 0", "l"(a), "l"(b))
}

/// The same of int8 rows and uint8 weights, in steps of 32 inputs, with exact sums. T: int8_t.
template <typename T>
__device__ inline void wgmma(int (&sums)[64], std::uint64_t a, std::uint64_t b, bool accumulate) {
  static_assert(std::is_same_v<T, std::int8_t>);
  QUERN_WGMMA_INT8("128", 64, "%64, %65", "%66", "l"(a), "l"(b));
}
template <typename T>
__device__ inline void wgmma(int (&sums)[96], std::uint64_t a, std::uint64_t b, bool accumulate) {
  static_assert(std::is_same_v<T, std::int8_t>);
  QUERN_WGMMA_INT8("192", 96, "%96, %97", "%98", "l"(a), "l"(b));
}
template <typename T>
__device__ inline void wgmma(int (&sums)[128], std::uint64_t a, std::uint64_t b, bool accumulate) {
  static_assert(std::is_same_v<T, std::int8_t>);
  QUERN_WGMMA_INT8("256", 128, "%128, %129", "%130", "l"(a), "l"(b));
}

/// a in registers, with mma_m16n8k16's layout; b N-major, with 128 or 64 columns.
template <typename T>
__device__ inline void wgmma_registers(float (&sums)[64], const std::uint32_t (&a)[4],
                                       std::uint64_t b, bool accumulate) {
  QUERN_WGMMA(T, "128", 64, "{%64, %65, %66, %67}, %68", "%69", "1", "r"(a[0]), "r"(a[1]),
              "r"(a[2]), "r"(a[3]), "l"(b))
}
template <typename T>
__device__ inline void wgmma_registers(float (&sums)[32], const std::uint32_t (&a)[4],
                                       std::uint64_t b, bool accumulate) {
  QUERN_WGMMA(T, "64", 32, "{%32, %33, %34, %35}, %36", "%37", "1", "r"(a[0]), "r"(a[1]), "r"(a[2]),
              "r"(a[3]), "l"(b))
}

/// a in registers, likewise; b K-major, with 32 or 64 rows.
template <typename T>
__device__ inline void wgmma_rows(float (&sums)[16], const std::uint32_t (&a)[4], std::uint64_t b,
                                  bool accumulate) {
  QUERN_WGMMA(T, "32", 16, "{%16, %17, %18, %19}, %20", "%21", "0", "r"(a[0]), "r"(a[1]), "r"(a[2]),
              "r"(a[3]), "l"(b))
}
template <typename T>
__device__ inline void wgmma_rows(float (&sums)[32], const std::uint32_t (&a)[4], std::uint64_t b,
                                  bool accumulate) {
  QUERN_WGMMA(T, "64", 32, "{%32, %33, %34, %35}, %36", "%37", "0", "r"(a[0]), "r"(a[1]), "r"(a[2]),
              "r"(a[3]), "l"(b))
}

}  // namespace quern::kernels
