#include "weights/quant/tiles.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "base/half.h"
#include "base/memory/shape.h"

namespace quern {
namespace {

constexpr std::int64_t kTileRows = TileGeometry::kTileRows;
constexpr int kVectorsOfRow = 4;
constexpr int kWordsOfVector = 4;
constexpr int kBytesOfRow = kVectorsOfRow * kWordsOfVector * 4;

/// A row of a tile of uint4, from 64 bytes as they are row-major.
void pack_nibbles(const std::uint8_t* row, std::uint8_t* out) {
  for (std::ptrdiff_t t = 0; t < kVectorsOfRow; ++t) {
    for (std::ptrdiff_t j = 0; j < kWordsOfVector; ++j) {
      const std::uint8_t* pairs = row + 16 * j + t;  // of inputs 2 t and the next
      std::uint32_t word = 0;
      for (std::ptrdiff_t s = 0; s < 4; ++s) {
        const std::uint32_t pair = pairs[4 * s];
        word |= (pair & 15) << (4 * s) | pair >> 4 << (16 + 4 * s);
      }
      std::memcpy(out + 16 * t + 4 * j, &word, sizeof(word));
    }
  }
}

/// The same of 64 values of a byte each.
void pack_bytes(const std::uint8_t* row, std::uint8_t* out) {
  for (std::ptrdiff_t t = 0; t < kVectorsOfRow; ++t) {
    for (std::ptrdiff_t j = 0; j < kWordsOfVector; ++j) {
      const std::uint8_t* from = row + 16 * j + 2 * t;
      std::uint8_t* to = out + 16 * t + 4 * j;
      to[0] = from[0];
      to[1] = from[8];
      to[2] = from[1];
      to[3] = from[9];
    }
  }
}

}  // namespace

int tile_value(DType stored, const std::uint8_t* tile, std::int64_t row, std::int64_t input) {
  const std::int64_t word_inputs = stored == DType::uint4 ? 32 : 16;
  const std::int64_t in_word = input % word_inputs;
  const std::uint8_t* word =
      tile + row * kBytesOfRow + in_word % 8 / 2 * 16 + input / word_inputs * 4;
  if (stored != DType::uint4) return word[in_word / 8 + in_word % 2 * 2];
  const std::int64_t nibble = in_word / 8 + in_word % 2 * 4;
  return word[nibble / 2] >> (nibble % 2 * 4) & 15;
}

TilingReader::TilingReader(const WeightSource& source)
    : source_(source),
      tiles_(TileGeometry::of(source.format, source.shape)),
      source_groups_(source.format.group_size == 0
                         ? 1
                         : ceil_div(source.shape.in_features, source.format.group_size)) {}

WeightSource TilingReader::tiled() {
  WeightSource tiled{source_.use, source_.format, source_.shape, {}};
  for (const ComponentSource& component : source_.components) {
    RowReader read = component.read;
    switch (component.component) {
      case WeightComponent::values:
        read = [this](std::int64_t first, std::int64_t count, std::byte* out) {
          read_values(first, count, out);
        };
        break;
      case WeightComponent::scales:
        read = [this](std::int64_t first, std::int64_t count, std::byte* out) {
          read_scales(first, count, out);
        };
        break;
      case WeightComponent::zero_points:
        read = [this](std::int64_t first, std::int64_t count, std::byte* out) {
          read_zero_points(first, count, out);
        };
        break;
      case WeightComponent::input_permutation:
        break;
    }
    tiled.components.push_back({component.component, std::move(read)});
  }
  return tiled;
}

void TilingReader::note_nan(std::int64_t row, std::span<const std::uint8_t> values) {
  const auto is_nan = [](std::uint8_t bits) { return (bits & 0x7f) == 0x7f; };
  for (auto at = std::ranges::find_if(values, is_nan); at != values.end();
       at = std::find_if(std::next(at), values.end(), is_nan)) {
    const std::lock_guard lock(mutex_);
    nan_groups_.insert({row, (at - values.begin()) / tiles_.group_size});
  }
}

void TilingReader::read_values(std::int64_t first_tile_row, std::int64_t count, std::byte* out) {
  const bool is_packed = source_.format.stored == DType::uint4;
  const std::int64_t inputs = source_.shape.in_features;
  const auto row_bytes =
      static_cast<std::size_t>(is_packed ? ceil_div(inputs, std::int64_t{2}) : inputs);
  const auto padded_bytes = static_cast<std::size_t>(tiles_.num_tiles * kBytesOfRow);
  const auto tile_row_bytes = tiles_.num_tiles * TileGeometry::kTileBytes;
  std::vector<std::uint8_t> rows(row_bytes * static_cast<std::size_t>(kTileRows));
  std::vector<std::uint8_t> padded(padded_bytes);
  auto* bytes = reinterpret_cast<std::uint8_t*>(out);
  std::memset(bytes, 0, static_cast<std::size_t>(count * tile_row_bytes));
  for (std::int64_t i = 0; i < count; ++i, bytes += tile_row_bytes) {
    const std::int64_t first_row = (first_tile_row + i) * kTileRows;
    const std::int64_t num_rows = std::min(kTileRows, source_.shape.out_features - first_row);
    if (num_rows <= 0) continue;
    source_.reader(WeightComponent::values)(first_row, num_rows,
                                            reinterpret_cast<std::byte*>(rows.data()));
    for (std::int64_t row = 0; row < num_rows; ++row) {
      const std::uint8_t* from = rows.data() + static_cast<std::size_t>(row) * row_bytes;
      std::memcpy(padded.data(), from, row_bytes);
      if (source_.format.stored == DType::float8_e4m3) {
        note_nan(first_row + row, {from, row_bytes});
      }
      for (std::int64_t tile = 0; tile < tiles_.num_tiles; ++tile) {
        (is_packed ? pack_nibbles : pack_bytes)(
            padded.data() + tile * kBytesOfRow,
            bytes + tile * TileGeometry::kTileBytes + row * kBytesOfRow);
      }
    }
  }
}

std::vector<std::byte> TilingReader::read_blocks(WeightComponent component, std::int64_t first_row,
                                                 std::size_t row_bytes) const {
  std::vector<std::byte> rows(row_bytes * static_cast<std::size_t>(kTileRows));
  std::int64_t read_block = -1;
  for (std::int64_t i = 0; i < kTileRows; ++i) {
    const std::int64_t row = std::min(first_row + i, source_.shape.out_features - 1);
    const std::int64_t block_rows = source_.format.group_rows;
    const std::int64_t block = block_rows == 0 ? 0 : row / block_rows;
    std::byte* to = rows.data() + static_cast<std::size_t>(i) * row_bytes;
    if (block == read_block) {
      std::memcpy(to, to - row_bytes, row_bytes);
    } else {
      source_.reader(component)(block, 1, to);
      read_block = block;
    }
  }
  return rows;
}

void TilingReader::read_scales(std::int64_t first_tile_row, std::int64_t count,
                               std::byte* out) const {
  const DType from = *source_.format.scale_dtype;
  const auto row_bytes = static_cast<std::size_t>(source_groups_) * dtype_bytes(from);
  const auto groups = static_cast<std::size_t>(source_groups_);
  std::vector<float> numbers(groups * static_cast<std::size_t>(kTileRows));
  std::vector<float> tiled(static_cast<std::size_t>(tiles_.num_groups * kTileRows));
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t first_row = (first_tile_row + i) * kTileRows;
    load_floats(from, read_blocks(WeightComponent::scales, first_row, row_bytes).data(), numbers);
    for (std::int64_t group = 0; group < tiles_.num_groups; ++group) {
      const auto own = static_cast<std::size_t>(std::min(group, source_groups_ - 1));
      for (std::int64_t row = 0; row < kTileRows; ++row) {
        const bool is_nan = nan_groups_.contains({first_row + row, group});
        tiled[static_cast<std::size_t>(group * kTileRows + row)] =
            is_nan ? std::numeric_limits<float>::quiet_NaN()
                   : numbers[static_cast<std::size_t>(row) * groups + own];
      }
    }
    store_floats(tiles_.scale_dtype, tiled, out);
    out += tiled.size() * dtype_bytes(tiles_.scale_dtype);
  }
}

void TilingReader::read_zero_points(std::int64_t first_tile_row, std::int64_t count,
                                    std::byte* out) const {
  const auto groups = static_cast<std::size_t>(source_groups_);
  for (std::int64_t i = 0; i < count; ++i) {
    const auto rows =
        read_blocks(WeightComponent::zero_points, (first_tile_row + i) * kTileRows, groups);
    for (std::int64_t group = 0; group < tiles_.num_groups; ++group) {
      const auto own = static_cast<std::size_t>(std::min(group, source_groups_ - 1));
      for (std::int64_t row = 0; row < kTileRows; ++row) {
        *out++ = rows[static_cast<std::size_t>(row) * groups + own];
      }
    }
  }
}

}  // namespace quern
