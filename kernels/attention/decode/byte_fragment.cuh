#pragma once

#include <cstdint>

namespace quern::kernels {

/// How kThreads threads share a row of kElements bytes, with the widest possible loads: 16 bytes,
/// then 8, 4 and 2 for the rest. A word is four bytes, or the last two. See RowFragment.
template <int kElements, int kThreads>
struct ByteFragment {
  static constexpr int kPairs = kElements / (2 * kThreads);  ///< of elements, per thread
  static_assert(kPairs * 2 * kThreads == kElements);
  static constexpr int kWords = (kPairs + 1) / 2;
  static constexpr int kWhole = kPairs / 2;  ///< words of four bytes
  static constexpr int kQuads = kWhole / 4;
  static constexpr bool kHasTwo = kWhole % 4 >= 2;
  static constexpr bool kHasOne = kWhole % 2 == 1;
  static constexpr bool kHasHalf = kPairs % 2 == 1;

  /// The row's element at which a thread's pair begins.
  __device__ static constexpr int element(int thread, int pair) {
    const int word = pair / 2;
    const int within = word % 4 * 4 + pair % 2 * 2;
    if (word < 4 * kQuads) return word / 4 * 16 * kThreads + thread * 16 + within;
    if (kHasTwo && word < 4 * kQuads + 2) {
      return kQuads * 16 * kThreads + thread * 8 + word % 2 * 4 + pair % 2 * 2;
    }
    if (kHasOne && word < kWhole) return (kWhole - 1) * 4 * kThreads + thread * 4 + pair % 2 * 2;
    return kWhole * 4 * kThreads + thread * 2;
  }

  /// A thread's words; zeros when the row is not `valid`.
  template <typename From>
  __device__ static void load(const std::uint8_t* row, int thread, bool valid,
                              std::uint32_t (&words)[kWords]) {
#pragma unroll
    for (int i = 0; i < kQuads; ++i) {
      uint4 loaded{};
      if (valid) loaded = From::read(reinterpret_cast<const uint4*>(row + element(thread, 8 * i)));
      words[4 * i] = loaded.x;
      words[4 * i + 1] = loaded.y;
      words[4 * i + 2] = loaded.z;
      words[4 * i + 3] = loaded.w;
    }
    if constexpr (kHasTwo) {
      uint2 loaded{};
      if (valid) {
        loaded = From::read(reinterpret_cast<const uint2*>(row + element(thread, 8 * kQuads)));
      }
      words[4 * kQuads] = loaded.x;
      words[4 * kQuads + 1] = loaded.y;
    }
    if constexpr (kHasOne) {
      words[kWhole - 1] = 0;
      if (valid) {
        const auto* at = row + element(thread, 2 * (kWhole - 1));
        words[kWhole - 1] = From::read(reinterpret_cast<const std::uint32_t*>(at));
      }
    }
    if constexpr (kHasHalf) {
      words[kWords - 1] = 0;
      if (valid) {
        const auto* at = row + element(thread, kPairs - 1);
        words[kWords - 1] = From::read(reinterpret_cast<const std::uint16_t*>(at));
      }
    }
  }

  /// The pairs of a row of 16-bit elements in shared memory that belong to the same elements.
  template <typename T>
  __device__ static void load_pairs(const T* row, int thread, std::uint32_t (&pairs)[kPairs]) {
    static_assert(sizeof(T) == 2);
#pragma unroll
    for (int pair = 0; pair < 8 * kQuads; pair += 4) {
      const uint4 loaded = *reinterpret_cast<const uint4*>(row + element(thread, pair));
      pairs[pair] = loaded.x;
      pairs[pair + 1] = loaded.y;
      pairs[pair + 2] = loaded.z;
      pairs[pair + 3] = loaded.w;
    }
#pragma unroll
    for (int pair = 8 * kQuads; pair + 1 < kPairs; pair += 2) {
      const uint2 loaded = *reinterpret_cast<const uint2*>(row + element(thread, pair));
      pairs[pair] = loaded.x;
      pairs[pair + 1] = loaded.y;
    }
    if constexpr (kHasHalf) {
      pairs[kPairs - 1] =
          *reinterpret_cast<const std::uint32_t*>(row + element(thread, kPairs - 1));
    }
  }
};

}  // namespace quern::kernels
