#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

#include "kernels/common/async_copy.cuh"

namespace quern::kernels {

// Fragments of 8 x 8 matrices of 16-bit elements: lane l holds row l / 4, columns 2 (l % 4) and 2
// (l % 4) + 1. Source: PTX ISA, "Warp-level matrix instructions".

/// ldmatrix.x4: four 8 x 8 matrices from shared memory. Lane l passes the address of row l % 8 of
/// matrix l / 8, a multiple of 16.
__device__ inline void load_matrices(std::uint32_t row, std::uint32_t (&matrices)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(matrices[0]), "=r"(matrices[1]), "=r"(matrices[2]), "=r"(matrices[3])
               : "r"(row)
               : "memory");
}

/// ldmatrix.x2, by the addresses of the first sixteen lanes.
__device__ inline void load_matrices(std::uint32_t row, std::uint32_t (&matrices)[2]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
               : "=r"(matrices[0]), "=r"(matrices[1])
               : "r"(row)
               : "memory");
}

__device__ inline void load_matrices(const void* row, std::uint32_t (&matrices)[4]) {
  load_matrices(shared_address(row), matrices);
}

/// The same, each matrix transposed.
__device__ inline void load_matrices_transposed(const void* row, std::uint32_t (&matrices)[4]) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(matrices[0]), "=r"(matrices[1]), "=r"(matrices[2]), "=r"(matrices[3])
               : "r"(shared_address(row))
               : "memory");
}

/// Transposes an 8 x 8 matrix across a warp's registers.
__device__ inline std::uint32_t transpose_8x8(std::uint32_t matrix) {
  std::uint32_t transposed;
  asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(transposed) : "r"(matrix));
  return transposed;
}

/// sums [16, 8] += a [16, 16] · b [16, 8]. a: matrices of rows 0-7 and 8-15 of columns 0-7, then of
/// columns 8-15. b: its rows 0-7 and 8-15, transposed. sums: lane l has row l / 4, columns
/// 2 (l % 4) and the next, then the same of row l / 4 + 8.
template <typename T>
__device__ inline void mma_m16n8k16(float (&sums)[4], const std::uint32_t (&a)[4],
                                    const std::uint32_t (&b)[2]) {
  if constexpr (std::is_same_v<T, __half>) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  } else {
    static_assert(std::is_same_v<T, __nv_bfloat16>);
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
        "{%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
  }
}

}  // namespace quern::kernels
