#include "weights/quant/quantize.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/float8.h"
#include "base/half.h"
#include "base/memory/shape.h"

namespace quern {
namespace {

constexpr std::int64_t kGroupSize = 128;
constexpr std::int64_t kQuantizedRows = 16;  ///< that are in memory as floats at a time

}  // namespace

WeightFormat load_time_format(DType stored, std::int64_t in_features,
                              const ActivationFormat& activation) {
  QUERN_CHECK(stored == DType::uint4 || stored == DType::uint8 || stored == DType::float8_e4m3,
              "quantizing to {}", dtype_name(stored));
  const auto rounds_tokens = [&](ActivationRounding rounding) {
    return activation == ActivationFormat{.rounding = rounding};
  };
  const bool by_row =
      in_features <= kGroupSize ||
      (stored == DType::uint8 && rounds_tokens(ActivationRounding::int8)) ||
      (stored == DType::float8_e4m3 && rounds_tokens(ActivationRounding::float8_e4m3));
  return {.stored = stored,
          .scale_dtype = stored == DType::float8_e4m3 ? DType::float32 : DType::float16,
          .group_size = by_row ? 0 : kGroupSize,
          .activation = activation};
}

QuantizingReader::QuantizingReader(RowReader floats, const WeightFormat& format,
                                   const WeightShape& shape, std::string_view name)
    : floats_(std::move(floats)),
      format_(format),
      inputs_(shape.in_features),
      group_size_(format.group_size == 0 ? shape.in_features : format.group_size),
      name_(name) {
  QUERN_CHECK(format == load_time_format(format.stored, shape.in_features, format.activation),
              "{}: {}", name, format_name(format));
}

std::vector<ComponentSource> QuantizingReader::components() const {
  return {
      {WeightComponent::values, [this](std::int64_t first_row, std::int64_t num_rows,
                                       std::byte* out) { read_values(first_row, num_rows, out); }},
      {WeightComponent::scales, [this](std::int64_t first_row, std::int64_t num_rows,
                                       std::byte* out) { read_scales(first_row, num_rows, out); }}};
}

std::vector<float> QuantizingReader::read_floats(std::int64_t first_row,
                                                 std::int64_t num_rows) const {
  std::vector<float> rows(static_cast<std::size_t>(num_rows * inputs_));
  floats_(first_row, num_rows, reinterpret_cast<std::byte*>(rows.data()));
  return rows;
}

float QuantizingReader::scale_of(std::span<const float> group) const {
  float largest = 0.0f;
  bool is_finite = true;
  for (const float number : group) {
    is_finite = is_finite && std::isfinite(number);
    largest = std::max(largest, std::fabs(number));
  }
  const float divisor = format_.stored == DType::float8_e4m3 ? kFloat8E4M3Max
                        : format_.stored == DType::uint4     ? 7.5f
                                                             : 127.5f;
  const float scale = round_to(*format_.scale_dtype, largest / divisor);
  if (!is_finite || !std::isfinite(scale)) {
    fail(ErrorCode::unsupported, "{}: quantizing to {}: expected finite numbers, got {} at most",
         name_, format_name(format_), largest);
  }
  return scale;
}

void QuantizingReader::quantize_row(std::span<const float> row, std::byte* out) const {
  const int zero_point = symmetric_zero_point(format_.stored);
  const auto highest = static_cast<float>(2 * zero_point - 1);
  auto* bytes = reinterpret_cast<std::uint8_t*>(out);
  for (std::size_t begin = 0; begin < row.size(); begin += static_cast<std::size_t>(group_size_)) {
    const auto group =
        row.subspan(begin, std::min(static_cast<std::size_t>(group_size_), row.size() - begin));
    const float scale = scale_of(group);
    for (std::size_t i = 0; i < group.size(); ++i) {
      const float number = scale == 0.0f ? 0.0f : group[i] / scale;
      const std::size_t at = begin + i;
      if (format_.stored == DType::float8_e4m3) {
        bytes[at] = float8_e4m3_bits(number);
        continue;
      }
      const auto value = static_cast<unsigned>(
          std::clamp(std::nearbyint(number) + static_cast<float>(zero_point), 0.0f, highest));
      if (format_.stored == DType::uint8) {
        bytes[at] = static_cast<std::uint8_t>(value);
      } else if (at % 2 == 0) {
        bytes[at / 2] = static_cast<std::uint8_t>(value);
      } else {
        bytes[at / 2] = static_cast<std::uint8_t>(bytes[at / 2] | value << 4);
      }
    }
  }
}

void QuantizingReader::read_values(std::int64_t first_row, std::int64_t num_rows,
                                   std::byte* out) const {
  const auto row_bytes =
      static_cast<std::int64_t>(component_places(format_, {1, inputs_}).front().row_bytes());
  for (std::int64_t begin = 0; begin < num_rows; begin += kQuantizedRows) {
    const std::int64_t count = std::min(kQuantizedRows, num_rows - begin);
    const std::vector<float> rows = read_floats(first_row + begin, count);
    for (std::int64_t i = 0; i < count; ++i) {
      quantize_row(std::span(rows).subspan(static_cast<std::size_t>(i * inputs_),
                                           static_cast<std::size_t>(inputs_)),
                   out + (begin + i) * row_bytes);
    }
  }
}

void QuantizingReader::read_scales(std::int64_t first_row, std::int64_t num_rows,
                                   std::byte* out) const {
  const std::int64_t groups = ceil_div(inputs_, group_size_);
  const auto scale_bytes = static_cast<std::int64_t>(dtype_bytes(*format_.scale_dtype));
  for (std::int64_t begin = 0; begin < num_rows; begin += kQuantizedRows) {
    const std::int64_t count = std::min(kQuantizedRows, num_rows - begin);
    const std::vector<float> rows = read_floats(first_row + begin, count);
    std::vector<float> scales;
    scales.reserve(static_cast<std::size_t>(count * groups));
    for (std::int64_t i = 0; i < count; ++i) {
      for (std::int64_t first = 0; first < inputs_; first += group_size_) {
        const std::int64_t size = std::min(group_size_, inputs_ - first);
        scales.push_back(scale_of(std::span(rows).subspan(
            static_cast<std::size_t>(i * inputs_ + first), static_cast<std::size_t>(size))));
      }
    }
    store_floats(*format_.scale_dtype, scales, out + begin * groups * scale_bytes);
  }
}

}  // namespace quern
