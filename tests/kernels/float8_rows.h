#pragma once

#include <cstddef>
#include <cstdint>

namespace quern::testing {

// Of the tests of kernels/quant/float8.

inline constexpr std::int64_t kTileInputs = 64;
inline constexpr std::int64_t kTileRows = 8;

/// A row's byte that holds an input of a tile, as weights/format.h says.
inline std::int64_t place_of(std::int64_t input) {
  const std::int64_t in_tile = input % kTileInputs;
  const std::int64_t in_word = in_tile % 16;
  return in_word % 8 / 2 * 16 + in_tile / 16 * 4 + in_word % 2 * 2 + in_word / 8;
}

inline std::size_t index_of(std::int64_t row, std::int64_t cols, std::int64_t col) {
  return static_cast<std::size_t>(row * cols + col);
}

}  // namespace quern::testing
