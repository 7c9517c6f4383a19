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

// The sums as operands, read and written.
#define QUERN_SUMS_8(i)                                                                      \
  "+f"(sums[i]), "+f"(sums[i + 1]), "+f"(sums[i + 2]), "+f"(sums[i + 3]), "+f"(sums[i + 4]), \
      "+f"(sums[i + 5]), "+f"(sums[i + 6]), "+f"(sums[i + 7])
#define QUERN_SUMS_16 QUERN_SUMS_8(0), QUERN_SUMS_8(8)
#define QUERN_SUMS_32_FROM(i) \
  QUERN_SUMS_8(i), QUERN_SUMS_8(i + 8), QUERN_SUMS_8(i + 16), QUERN_SUMS_8(i + 24)
#define QUERN_SUMS_32 QUERN_SUMS_32_FROM(0)
#define QUERN_SUMS_64 QUERN_SUMS_32, QUERN_SUMS_32_FROM(32)
#define QUERN_SUMS_96 QUERN_SUMS_64, QUERN_SUMS_32_FROM(64)
#define QUERN_SUMS_128 QUERN_SUMS_96, QUERN_SUMS_32_FROM(96)

// sums [64, n] += a · b, or a · b where the variable `accumulate` is false. count: N / 2. inputs:
// names of the operands of a and b behind the sums; flag: that of `accumulate`, behind those.
// majors: see the PTX ISA. The rest: the operands of a and b.
#define QUERN_WGMMA_OF_TYPE(type, n, count, inputs, flag, majors, ...)                      \
  asm volatile("{\n.reg .pred accumulate;\nsetp.ne.b32 accumulate, " flag                   \
               ", 0;\n"                                                                     \
               "wgmma.mma_async.sync.aligned.m64n" n "k16.f32." type "." type               \
               " {" QUERN_NAMES_##count "}, " inputs ", accumulate, 1, 1, " majors ";\n}\n" \
               : QUERN_SUMS_##count                                                         \
               : __VA_ARGS__, "r"(static_cast<int>(accumulate)))

// For elements of type T, float16 or bfloat16.
#define QUERN_WGMMA(T, n, count, inputs, flag, majors, ...)                   \
  if constexpr (std::is_same_v<T, __half>) {                                  \
    QUERN_WGMMA_OF_TYPE("f16", n, count, inputs, flag, majors, __VA_ARGS__);  \
  } else {                                                                    \
    QUERN_WGMMA_OF_TYPE("bf16", n, count, inputs, flag, majors, __VA_ARGS__); \
  }
