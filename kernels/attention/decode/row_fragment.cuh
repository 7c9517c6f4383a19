#pragma once

#include <cstdint>

namespace quern::kernels {

// The memory that a row is read from.

/// Shared or global memory.
struct FromAnywhere {
  template <typename Vector>
  __device__ static Vector read(const Vector* at) {
    return *at;
  }
};

/// Global memory, bypassing L1: for data that is read once.
struct FromL2 {
  template <typename Vector>
  __device__ static Vector read(const Vector* at) {
    return __ldcg(at);
  }
};

/// How kThreads threads share a row of kElements 16-bit elements, with the widest possible loads:
/// 16 bytes, then 8, then 4 for the rest. A word is two elements.
template <typename T, int kElements, int kThreads>
struct RowFragment {
  static_assert(sizeof(T) == 2);
  static constexpr int kWords = kElements / (2 * kThreads);
  static_assert(kWords * 2 * kThreads == kElements);
  static constexpr int kQuads = kWords / 4;  ///< loads of four words
  static constexpr bool kHasPair = kWords % 4 >= 2;
  static constexpr bool kHasSingle = kWords % 2 == 1;

  /// The row's element at which a thread's word begins.
  __device__ static constexpr int element(int thread, int word) {
    if (word < 4 * kQuads) return word / 4 * 8 * kThreads + thread * 8 + word % 4 * 2;
    if (kHasPair && word < 4 * kQuads + 2) {
      return kQuads * 8 * kThreads + thread * 4 + word % 2 * 2;
    }
    return (kWords - 1) * 2 * kThreads + thread * 2;
  }

  /// A thread's words; zeros when the row is not `valid`.
  template <typename From>
  __device__ static void load(const T* row, int thread, bool valid,
                              std::uint32_t (&words)[kWords]) {
#pragma unroll
    for (int i = 0; i < kQuads; ++i) {
      uint4 loaded{};
      if (valid) loaded = From::read(reinterpret_cast<const uint4*>(row + element(thread, 4 * i)));
      words[4 * i] = loaded.x;
      words[4 * i + 1] = loaded.y;
      words[4 * i + 2] = loaded.z;
      words[4 * i + 3] = loaded.w;
    }
    if constexpr (kHasPair) {
      uint2 loaded{};
      if (valid) {
        loaded = From::read(reinterpret_cast<const uint2*>(row + element(thread, 4 * kQuads)));
      }
      words[4 * kQuads] = loaded.x;
      words[4 * kQuads + 1] = loaded.y;
    }
    if constexpr (kHasSingle) {
      words[kWords - 1] = 0;
      if (valid) {
        words[kWords - 1] =
            From::read(reinterpret_cast<const std::uint32_t*>(row + element(thread, kWords - 1)));
      }
    }
  }
};

}  // namespace quern::kernels
