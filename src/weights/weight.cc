#include "weights/weight.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/float8.h"
#include "base/half.h"
#include "weights/quant/tiles.h"

namespace quern {
namespace {

Tensor& component_of(Weight& weight, WeightComponent component) {
  switch (component) {
    case WeightComponent::values:
      return weight.values;
    case WeightComponent::scales:
      return weight.scales;
    case WeightComponent::zero_points:
      return weight.zero_points;
    case WeightComponent::input_permutation:
      return weight.input_permutation;
  }
  check_failed(__FILE__, __LINE__, "a component of a weight");
}

[[noreturn]] void fail_undefined(const WeightFormat& format) {
  check_failed(__FILE__, __LINE__, "a weight's format has a definition", format_name(format));
}

/// One row of a quantized weight in tiles.
class TiledRow {
 public:
  TiledRow(const Weight& weight, std::int64_t row)
      : weight_(weight),
        tiles_(TileGeometry::of(weight.format, weight.shape())),
        tile_row_(row / TileGeometry::kTileRows),
        row_(row % TileGeometry::kTileRows) {}

  /// Elements [first, first + out.size()) in stored order.
  void read(std::int64_t first, std::span<float> out) const {
    const auto* values = weight_.values.row<const std::uint8_t>(tile_row_);
    const std::byte* scales =
        weight_.scales.data + tile_row_ * weight_.scales.row_stride *
                                  static_cast<std::int64_t>(dtype_bytes(tiles_.scale_dtype));
    for (std::size_t i = 0; i < out.size(); ++i) {
      const std::int64_t at = first + static_cast<std::int64_t>(i);
      const std::int64_t index = at / tiles_.group_size * TileGeometry::kTileRows + row_;
      float scale = 0.0f;
      load_floats(tiles_.scale_dtype,
                  scales + index * static_cast<std::int64_t>(dtype_bytes(tiles_.scale_dtype)),
                  {&scale, 1});
      const DType stored = weight_.format.stored;
      const int value =
          tile_value(stored, values + at / tiles_.tile_inputs * TileGeometry::kTileBytes, row_,
                     at % tiles_.tile_inputs);
      const int zero_point = weight_.format.has_zero_points
                                 ? weight_.zero_points.row<std::uint8_t>(tile_row_)[index]
                                 : symmetric_zero_point(stored);
      out[i] = scale * (stored == DType::float8_e4m3 ? kFloat8E4M3[static_cast<std::uint8_t>(value)]
                                                     : static_cast<float>(value - zero_point));
    }
  }

 private:
  const Weight& weight_;
  TileGeometry tiles_;
  std::int64_t tile_row_;
  std::int64_t row_;
};

/// One row of a quantized weight, as stored.
class ScaledRow {
 public:
  ScaledRow(const Weight& weight, std::int64_t row)
      : format_(weight.format),
        group_size_(format_.group_size == 0 ? weight.in_features : format_.group_size),
        values_(reinterpret_cast<const std::uint8_t*>(weight.values.data) +
                row * weight.values.row_stride) {
    const std::int64_t block = format_.group_rows == 0 ? 0 : row / format_.group_rows;
    scales_ = weight.scales.data + block * weight.scales.row_stride *
                                       static_cast<std::int64_t>(dtype_bytes(*format_.scale_dtype));
    if (format_.has_zero_points) zero_points_ = weight.zero_points.row<std::uint8_t>(block);
  }

  /// Elements [first, first + out.size()) in stored order.
  void read(std::int64_t first, std::span<float> out) const {
    for (std::size_t done = 0; done < out.size();) {
      const std::int64_t at = first + static_cast<std::int64_t>(done);
      const std::int64_t group = at / group_size_;
      const auto count = std::min<std::size_t>(
          out.size() - done, static_cast<std::size_t>((group + 1) * group_size_ - at));
      read_group(group, at, out.subspan(done, count));
      done += count;
    }
  }

 private:
  /// Elements of one group.
  void read_group(std::int64_t group, std::int64_t first, std::span<float> out) const {
    const DType scale_dtype = *format_.scale_dtype;
    float scale = 0.0f;
    load_floats(scale_dtype, scales_ + group * static_cast<std::int64_t>(dtype_bytes(scale_dtype)),
                {&scale, 1});
    const int zero_point =
        zero_points_ != nullptr ? zero_points_[group] : symmetric_zero_point(format_.stored);
    switch (format_.stored) {
      case DType::uint4:
        for (std::size_t i = 0; i < out.size(); ++i) {
          const std::int64_t at = first + static_cast<std::int64_t>(i);
          const int value = values_[at / 2] >> (at % 2 * 4) & 15;
          out[i] = scale * static_cast<float>(value - zero_point);
        }
        return;
      case DType::uint8:
        for (std::size_t i = 0; i < out.size(); ++i) {
          const int value = values_[first + static_cast<std::int64_t>(i)];
          out[i] = scale * static_cast<float>(value - zero_point);
        }
        return;
      case DType::float8_e4m3:
        for (std::size_t i = 0; i < out.size(); ++i) {
          out[i] = scale * kFloat8E4M3[values_[first + static_cast<std::int64_t>(i)]];
        }
        return;
      default:
        fail_undefined(format_);
    }
  }

  const WeightFormat& format_;
  std::int64_t group_size_;
  const std::uint8_t* values_;
  const std::byte* scales_ = nullptr;
  const std::uint8_t* zero_points_ = nullptr;
};

template <typename Row>
void dequantize_scaled(const Weight& weight, std::int64_t row, std::int64_t first_col,
                       std::span<float> out) {
  const Row scaled(weight, row);
  if (!weight.format.permuted_inputs) return scaled.read(first_col, out);
  const auto* inputs = weight.input_permutation.row<const std::int32_t>(0);
  std::array<float, 256> block;
  for (std::int64_t begin = 0; begin < weight.in_features; begin += std::ssize(block)) {
    const std::span<float> values(block.data(),
                                  std::min(weight.in_features - begin, std::ssize(block)));
    scaled.read(begin, values);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::int64_t col = inputs[begin + static_cast<std::int64_t>(i)] - first_col;
      if (col >= 0 && col < std::ssize(out)) out[static_cast<std::size_t>(col)] = values[i];
    }
  }
}

}  // namespace

Weight view_weight(const WeightFormat& format, const WeightShape& shape, WeightLayout layout,
                   std::byte* data, Device device) {
  Weight weight;
  weight.format = format;
  weight.layout = layout;
  weight.out_features = shape.out_features;
  weight.in_features = shape.in_features;
  for (const ComponentPlace& place : component_places(format, shape, layout)) {
    component_of(weight, place.component) = {data + place.offset, place.rows,  place.cols,
                                             place.cols,          place.dtype, device};
  }
  return weight;
}

Weight row_major_weight(const WeightFormat& format, const WeightShape& shape, std::byte* data,
                        Device device) {
  return view_weight(format, shape, WeightLayout::row_major, data, device);
}

void dequantize_row(const Weight& weight, std::int64_t row, std::int64_t first_col,
                    std::span<float> out) {
  QUERN_CHECK(row >= 0 && row < weight.out_features, "row {} of {}", row, weight.out_features);
  QUERN_CHECK(first_col >= 0 && first_col + std::ssize(out) <= weight.in_features,
              "elements {} to {} of {}", first_col, first_col + std::ssize(out),
              weight.in_features);
  if (weight.layout == WeightLayout::tiles) {
    return dequantize_scaled<TiledRow>(weight, row, first_col, out);
  }
  QUERN_CHECK(weight.layout == WeightLayout::row_major);
  if (weight.format.is_quantized()) {
    return dequantize_scaled<ScaledRow>(weight, row, first_col, out);
  }
  const DType stored = weight.format.stored;
  if (stored != DType::float32 && stored != DType::float16 && stored != DType::bfloat16) {
    fail_undefined(weight.format);
  }
  const std::int64_t first = row * weight.values.row_stride + first_col;
  load_floats(stored, weight.values.data + first * static_cast<std::int64_t>(dtype_bytes(stored)),
              out);
}

void dequantize_row(const Weight& weight, std::int64_t row, std::span<float> out) {
  QUERN_CHECK(std::ssize(out) == weight.in_features, "room for {} of {} elements", out.size(),
              weight.in_features);
  dequantize_row(weight, row, 0, out);
}

}  // namespace quern
