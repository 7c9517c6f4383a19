#pragma once

#include "kernels/attention/scaled_vector.cuh"
#include "kernels/common/async_copy.cuh"

namespace quern::kernels {

/// Sizes and layout of a PrefillTile.
template <int kHeadDim>
struct PrefillLayout {
  static constexpr int kWarps = 4;
  static constexpr int kThreads = 32 * kWarps;
  static constexpr int kRowTiles = kHeadDim <= 128 ? 2 : 1;  ///< 16-row MMA tiles per warp
  static constexpr int kRows = 16 * kRowTiles * kWarps;
  static constexpr int kSlots = kHeadDim <= 128 ? 64 : 32;
  /// Avoids bank conflicts of eight consecutive rows: their 16-byte chunks are swizzled where rows
  /// have a multiple of eight of them; other rows are padded by one chunk. With the swizzle two
  /// blocks with heads of 128 fit into the shared memory of an sm_80 multiprocessor.
  static constexpr bool kSwizzled = kHeadDim % 64 == 0;
  static constexpr int kStride = kSwizzled ? kHeadDim : kHeadDim + 8;

  /// Offset of a row's 16-byte chunk in queries, keys or values.
  __device__ static unsigned element(unsigned row, unsigned chunk) {
    return row * kStride + (kSwizzled ? chunk ^ row % 8 : chunk) * 8;
  }

  /// Copies a tile's keys or values. `slot_rows`: cache rows of its slots, -1 where there is none.
  template <typename T>
  __device__ static void load_vectors(const void* cache, const int* slot_rows, T* destination) {
    constexpr unsigned kChunks = kHeadDim / 8;  // of 16 bytes, per row
    constexpr unsigned kTurns = kSlots * kChunks / kThreads;
    static_assert(kTurns * kThreads == kSlots * kChunks);
    constexpr bool kOwnChunk = kThreads % kChunks == 0;  // one chunk per thread in all turns
    const auto row_of_turn = [](unsigned turn) {
      return kOwnChunk ? threadIdx.x / kChunks + turn * (kThreads / kChunks)
                       : (threadIdx.x + turn * kThreads) / kChunks;
    };
    int rows[kTurns];  // loaded ahead, so that each copy waits for its own row only
#pragma unroll
    for (unsigned turn = 0; turn < kTurns; ++turn) {
      rows[turn] = slot_rows[row_of_turn(turn)];
    }
#pragma unroll
    for (unsigned turn = 0; turn < kTurns; ++turn) {
      const unsigned chunk = (threadIdx.x + (kOwnChunk ? 0 : turn * kThreads)) % kChunks;
      const T* source = static_cast<const T*>(cache) + std::int64_t{max(rows[turn], 0)} * kHeadDim;
      copy_16_bytes_async(&destination[element(row_of_turn(turn), chunk)], source + chunk * 8,
                          rows[turn] >= 0);
    }
  }
};

/// Numbers and scales in shared memory, of a tile's keys or values: as they are copied.
template <int kSlots, int kHeadDim, KvStorage kStorage>
struct ScaledTiles {
  alignas(16) std::uint8_t key_numbers[kSlots * kHeadDim];
  alignas(16) std::uint8_t value_numbers[kSlots * kHeadDim];
  float key_scales[2][kSlots];  ///< of this tile and the next
  float value_scales[2][kSlots];
};
template <int kSlots, int kHeadDim>
struct ScaledTiles<kSlots, kHeadDim, KvStorage::k16v8> {
  alignas(16) std::uint8_t value_numbers[kSlots * kHeadDim];
  float value_scales[2][kSlots];
};
template <int kSlots, int kHeadDim>
struct ScaledTiles<kSlots, kHeadDim, KvStorage::unscaled> {};

/// Copies of a tile's numbers and scales to shared memory, and the conversion of numbers to T.
/// `slot_rows`: cache rows of the tile's slots, -1 where there is none.
template <typename T, int kHeadDim, DType kStored>
struct PrefillNumbers {
  using Layout = PrefillLayout<kHeadDim>;
  static constexpr unsigned kChunks = kHeadDim / 16;  ///< of 16 bytes, per row
  static constexpr unsigned kAllChunks = Layout::kSlots * kChunks;

  __device__ static void load_scales(const float* scales, const int* slot_rows,
                                     float* destination) {
    if (threadIdx.x >= Layout::kSlots) return;
    const int row = slot_rows[threadIdx.x];
    copy_4_bytes_async(destination + threadIdx.x, scales + max(row, 0), row >= 0);
  }

  __device__ static void load(const void* cache, const int* slot_rows, std::uint8_t* destination) {
#pragma unroll
    for (unsigned i = threadIdx.x; i < kAllChunks; i += Layout::kThreads) {
      const int row = slot_rows[i / kChunks];
      const std::uint8_t* source =
          static_cast<const std::uint8_t*>(cache) + std::int64_t{max(row, 0)} * kHeadDim;
      copy_16_bytes_async(destination + 16 * i, source + i % kChunks * 16, row >= 0);
    }
  }

  /// Converts the numbers that this thread has copied.
  __device__ static void convert(const std::uint8_t* numbers, T* destination) {
    const auto low = [](std::uint32_t word) { return number_pair<T, kStored, 0>(word); };
    const auto high = [](std::uint32_t word) { return number_pair<T, kStored, 1>(word); };
#pragma unroll
    for (unsigned i = threadIdx.x; i < kAllChunks; i += Layout::kThreads) {
      const uint4 words = *reinterpret_cast<const uint4*>(numbers + 16 * i);
      T* first = destination + Layout::element(i / kChunks, i % kChunks * 2);
      T* second = destination + Layout::element(i / kChunks, i % kChunks * 2 + 1);
      *reinterpret_cast<uint4*>(first) = {low(words.x), high(words.x), low(words.y), high(words.y)};
      *reinterpret_cast<uint4*>(second) = {low(words.z), high(words.z), low(words.w),
                                           high(words.w)};
    }
  }
};

}  // namespace quern::kernels
