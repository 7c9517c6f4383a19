#pragma once

#include <cuda_fp16.h>

#include <type_traits>

// The wgmma instruction in inline assembly, which names each register of the sums: a thread has
// N / 2 of them. Included by wgmma.cuh.

// Names of the first 16, 32, 64, 96, 128 operands.
#define QUERN_NAMES_16 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
#define QUERN_NAMES_32 \
  QUERN_NAMES_16       \
  ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define QUERN_NAMES_64                                                               \
  QUERN_NAMES_32                                                                     \
  ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47" \
  ", %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define QUERN_NAMES_96                                                               \
  QUERN_NAMES_64                                                                     \
  ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79" \
  ", %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define QUERN_NAMES_128                                \
  QUERN_NAMES_96                                       \
  ", %96, %97, %98, %99, %100, %101, %102, %103, %104" \
  ", %105, %106, %107, %108, %109, %110, %111"         \
  ", %112, %113, %114, %115, %116, %117, %118, %119"   \
  ", %120, %121, %122, %123, %124, %125, %126, %127"

// The sums as operands, read and written; c: "+f", or "+r" of integers.
#define QUERN_SUMS_8(c, i)                                                                    \
  c(sums[i]), c(sums[i + 1]), c(sums[i + 2]), c(sums[i + 3]), c(sums[i + 4]), c(sums[i + 5]), \
      c(sums[i + 6]), c(sums[i + 7])
#define QUERN_SUMS_16(c) QUERN_SUMS_8(c, 0), QUERN_SUMS_8(c, 8)
#define QUERN_SUMS_32_FROM(c, i) \
  QUERN_SUMS_8(c, i), QUERN_SUMS_8(c, i + 8), QUERN_SUMS_8(c, i + 16), QUERN_SUMS_8(c, i + 24)
#define QUERN_SUMS_32(c) QUERN_SUMS_32_FROM(c, 0)
#define QUERN_SUMS_64(c) QUERN_SUMS_32(c), QUERN_SUMS_32_FROM(c, 32)
#define QUERN_SUMS_96(c) QUERN_SUMS_64(c), QUERN_SUMS_32_FROM(c, 64)
#define QUERN_SUMS_128(c) QUERN_SUMS_96(c), QUERN_SUMS_32_FROM(c, 96)

// sums [64, n] += a · b, or a · b where the variable `accumulate` is false. count: N / 2. inputs:
// names of the operands of a and b behind the sums; flag: that of `accumulate`, behind those.
// majors: see the PTX ISA. The rest: the operands of a and b.
#define QUERN_WGMMA_OF_TYPE(type, n, count, inputs, flag, majors, ...)                      \
  asm volatile("{\n.reg .pred accumulate;\nsetp.ne.b32 accumulate, " flag                   \
               ", 0;\n"                                                                     \
               "wgmma.mma_async.sync.aligned.m64n" n "k16.f32." type "." type               \
               " {" QUERN_NAMES_##count "}, " inputs ", accumulate, 1, 1, " majors ";\n}\n" \
               : QUERN_SUMS_##count("+f")                                                   \
               : __VA_ARGS__, "r"(static_cast<int>(accumulate)))

// The same of int8 rows and uint8 weights, [64, 32] · [32, n], with integer sums; both K-major.
#define QUERN_WGMMA_INT8(n, count, inputs, flag, ...)                     \
  asm volatile("{\n.reg .pred accumulate;\nsetp.ne.b32 accumulate, " flag \
               ", 0;\n"                                                   \
               "wgmma.mma_async.sync.aligned.m64n" n                      \
               "k32.s32.s8.u8"                                            \
               " {" QUERN_NAMES_##count "}, " inputs ", accumulate;\n}\n" \
               : QUERN_SUMS_##count("+r")                                 \
               : __VA_ARGS__, "r"(static_cast<int>(accumulate)))

// For elements of type T, float16 or bfloat16.
#define QUERN_WGMMA(T, n, count, inputs, flag, majors, ...)                   \
  if constexpr (std::is_same_v<T, __half>) {                                  \
    QUERN_WGMMA_OF_TYPE("f16", n, count, inputs, flag, majors, __VA_ARGS__);  \
  } else {                                                                    \
    QUERN_WGMMA_OF_TYPE("bf16", n, count, inputs, flag, majors, __VA_ARGS__); \
  }
