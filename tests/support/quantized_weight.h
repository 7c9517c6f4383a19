#pragma once

#include <algorithm>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

#include "base/half.h"
#include "weights/source.h"
#include "weights/weight.h"

namespace quern::testing {

/// A row-major quantized weight of random numbers in host memory, near standard normal ones.
class RandomQuantizedWeight {
 public:
  RandomQuantizedWeight(const WeightFormat& format, const WeightShape& shape, std::uint32_t seed)
      : bytes_(storage_bytes(format, shape)),
        weight_(row_major_weight(format, shape, bytes_.data(), Device{})) {
    std::mt19937 engine(seed);
    std::uniform_int_distribution<int> any_byte(0, 255);
    for (std::int64_t i = 0; i < weight_.values.rows * weight_.values.cols; ++i) {
      auto value = static_cast<std::uint8_t>(any_byte(engine));
      if (format.stored == DType::float8_e4m3 && (value & 0x7f) == 0x7f) value = 0;  // NaN
      weight_.values.row<std::uint8_t>(0)[i] = value;
    }
    const float size = format.stored == DType::uint4   ? 4.0f
                       : format.stored == DType::uint8 ? 64.0f
                                                       : 100.0f;
    std::uniform_real_distribution<float> factor(0.5f, 1.5f);
    std::vector<float> scales(static_cast<std::size_t>(weight_.scales.rows * weight_.scales.cols));
    for (float& scale : scales) scale = factor(engine) / size;
    store_floats(*format.scale_dtype, scales, weight_.scales.data);
    if (format.has_zero_points) {
      std::uniform_int_distribution<int> zero_point(0, format.stored == DType::uint4 ? 15 : 255);
      for (std::int64_t i = 0; i < weight_.zero_points.rows * weight_.zero_points.cols; ++i) {
        weight_.zero_points.row<std::uint8_t>(0)[i] =
            static_cast<std::uint8_t>(zero_point(engine));
      }
    }
    if (format.permuted_inputs) {
      auto* inputs = weight_.input_permutation.row<std::int32_t>(0);
      std::iota(inputs, inputs + shape.in_features, 0);
      std::shuffle(inputs, inputs + shape.in_features, engine);
    }
  }

  const Weight& weight() const { return weight_; }
  Weight& weight() { return weight_; }

  /// Its numbers, [out_features, in_features].
  std::vector<float> numbers() const {
    const auto cols = static_cast<std::size_t>(weight_.in_features);
    std::vector<float> numbers(static_cast<std::size_t>(weight_.out_features) * cols);
    for (std::int64_t row = 0; row < weight_.out_features; ++row) {
      dequantize_row(weight_, row,
                     std::span(numbers).subspan(static_cast<std::size_t>(row) * cols, cols));
    }
    return numbers;
  }

  WeightSource source(WeightUse use = WeightUse::matrix) const {
    WeightSource source{use, weight_.format, weight_.shape(), {}};
    for (const ComponentPlace& place : component_places(weight_.format, weight_.shape())) {
      source.components.push_back(
          {place.component,
           [this, place](std::int64_t first_row, std::int64_t num_rows, std::byte* out) {
             const std::size_t row_bytes = place.row_bytes();
             std::memcpy(
                 out, bytes_.data() + place.offset + static_cast<std::size_t>(first_row) * row_bytes,
                 static_cast<std::size_t>(num_rows) * row_bytes);
           }});
    }
    return source;
  }

 private:
  std::vector<std::byte> bytes_;
  Weight weight_;
};

/// Formats of every element type, with groups that kernels take as they are and others.
inline std::vector<WeightFormat> quantized_formats_to_test() {
  using enum DType;
  std::vector<WeightFormat> formats;
  for (const DType stored : {uint4, uint8, float8_e4m3}) {
    const bool has_zero_points = stored != float8_e4m3;
    const WeightFormat base = {.stored = stored, .scale_dtype = float16, .group_size = 128};
    const auto add = [&](auto change) {
      WeightFormat format = base;
      change(format);
      formats.push_back(format);
    };
    add([](WeightFormat&) {});
    add([&](WeightFormat& f) { f.has_zero_points = has_zero_points; });
    add([&](WeightFormat& f) {
      f.has_zero_points = has_zero_points;
      f.permuted_inputs = true;
    });
    add([](WeightFormat& f) { f.group_size = 64; });
    add([&](WeightFormat& f) {
      f.group_size = 32;
      f.scale_dtype = bfloat16;
      f.has_zero_points = has_zero_points;
    });
    add([](WeightFormat& f) {
      f.group_size = 0;
      f.scale_dtype = float32;
    });
    add([](WeightFormat& f) {
      f.group_rows = 48;
      f.scale_dtype = float32;
    });
    add([](WeightFormat& f) {
      f.group_size = 0;
      f.group_rows = 0;
      f.scale_dtype = bfloat16;
    });
    add([&](WeightFormat& f) {
      f.group_size = 24;
      f.has_zero_points = has_zero_points;
    });
    add([](WeightFormat& f) {
      f.group_size = 1;
      f.permuted_inputs = true;
    });
  }
  return formats;
}

}  // namespace quern::testing
