#include "weights/convert.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <span>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "base/half.h"

namespace quern {
namespace {

/// The smallest magnitude that rounds to infinity: the largest finite number plus half an ulp.
float overflow_limit(DType dtype) { return dtype == DType::float16 ? 65520.0f : 0x1.ffp127f; }

/// Stores numbers and counts finite ones that overflow to infinity.
std::int64_t store_counting(std::span<const float> values, DType dtype, std::byte* destination) {
  store_floats(dtype, values, destination);
  if (dtype == DType::float32) return 0;
  const float limit = overflow_limit(dtype);
  std::int32_t count = 0;  // as wide as a float, so that the loop vectorizes
  for (const float value : values) {
    const float magnitude = std::fabs(value);
    count += static_cast<int>(magnitude >= limit) &
             static_cast<int>(magnitude <= std::numeric_limits<float>::max());
  }
  return count;
}

/// `Word`: of the numbers' size; `least`: the least word, without its sign, that is not finite.
template <typename Word>
std::int64_t count_words_from(const std::byte* data, std::int64_t count, Word least) {
  // Counts in words of the same size, so that the compiler counts several at a time.
  constexpr std::int64_t kBlock = 4096;
  constexpr auto kMagnitude = static_cast<Word>(static_cast<Word>(-1) >> 1);
  std::int64_t total = 0;
  for (std::int64_t begin = 0; begin < count; begin += kBlock) {
    const std::int64_t size = std::min(kBlock, count - begin);
    const std::byte* block = data + begin * static_cast<std::int64_t>(sizeof(Word));
    Word found = 0;
    for (std::int64_t i = 0; i < size; ++i) {
      Word word;
      std::memcpy(&word, block + i * static_cast<std::int64_t>(sizeof(Word)), sizeof(Word));
      found = static_cast<Word>(found + static_cast<Word>((word & kMagnitude) >= least));
    }
    total += found;
  }
  return total;
}

/// memcpy with constant sizes for the common row lengths of a tile.
void copy_words(const std::byte* from, std::byte* to, std::size_t bytes) {
  switch (bytes) {
    case 128:
      std::memcpy(to, from, 128);
      break;
    case 256:
      std::memcpy(to, from, 256);
      break;
    default:
      if (bytes > 0) std::memcpy(to, from, bytes);
  }
}

constexpr std::int64_t kTile = 64;  ///< rows and columns of a transposed tile

/// A tile, row-major.
template <typename Word>
using Tile = std::array<Word, kTile * kTile>;

#if defined(__x86_64__)

__m128i interleave_low(std::uint16_t, __m128i a, __m128i b) { return _mm_unpacklo_epi16(a, b); }
__m128i interleave_high(std::uint16_t, __m128i a, __m128i b) { return _mm_unpackhi_epi16(a, b); }
__m128i interleave_low(std::uint32_t, __m128i a, __m128i b) { return _mm_unpacklo_epi32(a, b); }
__m128i interleave_high(std::uint32_t, __m128i a, __m128i b) { return _mm_unpackhi_epi32(a, b); }

/// Transposes a square of 16 / sizeof(Word) rows with row stride kTile in registers.
template <typename Word>
void transpose_square(const Word* from, Word* to) {
  constexpr int kRows = 16 / sizeof(Word);
  __m128i rows[kRows];
  for (int i = 0; i < kRows; ++i) {
    rows[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i * kTile));
  }
  // log2(kRows) rounds; each interleaves row i with row i + kRows / 2, word by word.
  for (int merged = 1; merged < kRows; merged *= 2) {
    __m128i next[kRows];
    for (int i = 0; i < kRows / 2; ++i) {
      next[2 * i] = interleave_low(Word{}, rows[i], rows[i + kRows / 2]);
      next[2 * i + 1] = interleave_high(Word{}, rows[i], rows[i + kRows / 2]);
    }
    std::ranges::copy(next, rows);
  }
  for (int i = 0; i < kRows; ++i) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i * kTile), rows[i]);
  }
}

template <typename Word>
void transpose_tile(const Tile<Word>& tile, Tile<Word>& transposed) {
  constexpr std::int64_t kRows = 16 / sizeof(Word);
  for (std::int64_t i = 0; i < kTile; i += kRows) {
    for (std::int64_t j = 0; j < kTile; j += kRows) {
      transpose_square(&tile[i * kTile + j], &transposed[j * kTile + i]);
    }
  }
}

#else

template <typename Word>
void transpose_tile(const Tile<Word>& tile, Tile<Word>& transposed) {
  for (std::int64_t i = 0; i < kTile; ++i) {
    for (std::int64_t j = 0; j < kTile; ++j) transposed[j * kTile + i] = tile[i * kTile + j];
  }
}

#endif

/// Transposes tile by tile, so that a tile stays in L1. `load(from, row)` and `store(column, to)`
/// move up to kTile words; `from` and `to` are element offsets in the two matrices.
template <typename Word, typename Load, typename Store>
void transpose_tiles(const ColumnRange& range, const Load& load, const Store& store) {
  Tile<Word> tile{};
  Tile<Word> transposed;
  for (std::int64_t row = 0; row < range.rows; row += kTile) {
    const std::int64_t height = std::min(kTile, range.rows - row);
    for (std::int64_t col = 0; col < range.num_cols; col += kTile) {
      const std::int64_t width = std::min(kTile, range.num_cols - col);
      for (std::int64_t i = 0; i < height; ++i) {
        load((row + i) * range.cols + range.first_col + col,
             std::span(tile).subspan(i * kTile, width));
      }
      transpose_tile(tile, transposed);
      for (std::int64_t j = 0; j < width; ++j) {
        store(std::span<const Word>(transposed).subspan(j * kTile, height),
              (col + j) * range.rows + row);
      }
    }
  }
}

/// `Word` has the destination's size. Numbers are converted before the transpose: fewer bytes move.
template <typename Word>
std::int64_t transpose_words(FloatSource source, FloatDestination destination,
                             const ColumnRange& range) {
  const std::size_t from_bytes = dtype_bytes(source.dtype);
  std::int64_t overflowed = 0;
  transpose_tiles<Word>(
      range,
      [&](std::int64_t from, std::span<Word> row) {
        overflowed += convert_floats({source.data + from * from_bytes, source.dtype},
                                     {reinterpret_cast<std::byte*>(row.data()), destination.dtype},
                                     std::ssize(row));
      },
      [&](std::span<const Word> column, std::int64_t to) {
        copy_words(reinterpret_cast<const std::byte*>(column.data()),
                   destination.data + to * sizeof(Word), column.size_bytes());
      });
  return overflowed;
}

}  // namespace

std::int64_t convert_floats(FloatSource source, FloatDestination destination, std::int64_t count) {
  const std::size_t from_bytes = dtype_bytes(source.dtype);
  const std::size_t to_bytes = dtype_bytes(destination.dtype);
  if (source.dtype == destination.dtype) {
    copy_words(source.data, destination.data, count * to_bytes);
    return 0;
  }
  std::array<float, 4096> block;
  std::int64_t overflowed = 0;
  for (std::int64_t begin = 0; begin < count; begin += std::ssize(block)) {
    const std::span<float> values(block.data(), std::min(count - begin, std::ssize(block)));
    load_floats(source.dtype, source.data + begin * from_bytes, values);
    overflowed += store_counting(values, destination.dtype, destination.data + begin * to_bytes);
  }
  return overflowed;
}

std::int64_t count_nonfinite(FloatSource source, std::int64_t count) {
  switch (source.dtype) {
    case DType::float32:
      return count_words_from<std::uint32_t>(source.data, count, 0x7f800000);
    case DType::float16:
      return count_words_from<std::uint16_t>(source.data, count, 0x7c00);
    case DType::bfloat16:
      return count_words_from<std::uint16_t>(source.data, count, 0x7f80);
    default:
      return 0;
  }
}

std::int64_t narrow_doubles(std::span<const double> values, float* out) {
  std::int64_t overflowed = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto narrow = static_cast<float>(values[i]);
    out[i] = narrow;
    overflowed += std::isinf(narrow) && !std::isinf(values[i]) ? 1 : 0;
  }
  return overflowed;
}

std::int64_t convert_transposed(FloatSource source, FloatDestination destination,
                                const ColumnRange& range) {
  return dtype_bytes(destination.dtype) == 2
             ? transpose_words<std::uint16_t>(source, destination, range)
             : transpose_words<std::uint32_t>(source, destination, range);
}

}  // namespace quern
