#include "backend/cpu/integer/rounded_input.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "backend/cpu/parallel.h"
#include "backend/cpu/views.h"
#include "base/float8.h"

namespace quern::cpu {
namespace {

constexpr float kMaxInt8 = 127.0f;

/// max|x| / `max_value`; 0 of zeros, NaN if a number is not finite.
float input_scale(std::span<const float> in, float max_value) {
  float largest = 0.0f;
  float not_finite = 0.0f;  // NaN once a number was NaN or infinite
  for (const float x : in) {
    largest = std::max(largest, std::abs(x));
    not_finite += x * 0.0f;
  }
  return largest / max_value + not_finite;
}

/// x / scale, rounded half to even, of a scale that is not 0.
float int8_value(float x, float scale) {
  // A quotient may exceed 127 where the scale is subnormal.
  const float value = std::clamp(x / scale, -kMaxInt8, kMaxInt8);
  constexpr float kRounding = 0x1.8p23f;  // so large a number has no fraction
  return value + kRounding - kRounding;
}

/// Whether a group's numbers are 0, or become NaN.
bool has_no_values(float scale) { return !(scale > 0.0f); }

/// Inputs of one scale.
std::int64_t inputs_per_scale(const WeightFormat& format, std::int64_t in_features) {
  const std::int64_t group_size = format.activation.group_size;
  return group_size == 0 ? in_features : group_size;
}

/// The even elements of each block before the odd ones, as the nibbles of uint4 are unpacked.
void split_even_and_odd(std::span<std::int8_t> row) {
  std::int8_t block[kIntegerBlock];
  for (std::size_t begin = 0; begin < row.size(); begin += kIntegerBlock) {
    for (std::size_t i = 0; i < kIntegerBlock; ++i) {
      block[i / 2 + i % 2 * (kIntegerBlock / 2)] = row[begin + i];
    }
    std::copy(std::begin(block), std::end(block), row.begin() + static_cast<std::ptrdiff_t>(begin));
  }
}

/// Rounds rows of one GEMM's input.
class InputRounding {
 public:
  InputRounding(const Tensor& in, const Weight& weight, const RoundedInput& out)
      : in_(in), weight_(weight), out_(out) {}

  void round_row(std::int64_t row) const {
    const std::span<const float> source = float_row(in_, row);
    if (out_.integers != nullptr) {
      round_integers(source, row);
    } else {
      round_floats(source, {out_.floats + row * out_.in_features, source.size()});
    }
  }

 private:
  void round_integers(std::span<const float> source, std::int64_t row) const {
    std::int8_t* values = out_.integers + row * out_.in_features;
    const auto group = static_cast<std::size_t>(inputs_per_scale(weight_.format, in_.cols));
    float* scales = out_.scales + row * out_.num_scales();
    if (weight_.format.permuted_inputs) {
      *scales = round_permuted(source, values);
    } else {
      for (std::size_t i = 0; i < source.size(); i += group) {
        *scales++ = round_to_int8(source.subspan(i, group), values + i);
      }
    }
    sum_groups(row);
    if (weight_.format.stored == DType::uint4) split_even_and_odd({values, source.size()});
  }

  void sum_groups(std::int64_t row) const {
    const std::int8_t* values = out_.integers + row * out_.in_features;
    const float* scales = out_.scales + row * out_.num_scales();
    double* sums = out_.group_sums + row * out_.num_groups;
    const std::int64_t group =
        weight_.format.group_size == 0 ? in_.cols : weight_.format.group_size;
    for (std::int64_t begin = 0; begin < in_.cols; begin += group, ++sums) {
      const std::int64_t end = std::min(begin + group, in_.cols);
      *sums = 0.0;
      if (!out_.scale_per_block) {
        *sums = std::accumulate(values + begin, values + end, 0);
        continue;
      }
      for (std::int64_t k = begin; k < end; k += kIntegerBlock) {
        const int sum = std::accumulate(values + k, values + k + kIntegerBlock, 0);
        *sums += static_cast<double>(scales[k / kIntegerBlock]) * sum;
      }
    }
  }

  /// A row with one scale, in the order of the weight's inputs.
  float round_permuted(std::span<const float> source, std::int8_t* out) const {
    const float scale = input_scale(source, kMaxInt8);
    const std::int32_t* order = weight_.input_permutation.row<std::int32_t>(0);
    for (std::size_t i = 0; i < source.size(); ++i) {
      const float x = source[static_cast<std::size_t>(order[i])];
      out[i] = static_cast<std::int8_t>(has_no_values(scale) ? 0.0f : int8_value(x, scale));
    }
    return scale;
  }

  void round_floats(std::span<const float> source, std::span<float> out) const {
    const auto group = static_cast<std::size_t>(inputs_per_scale(weight_.format, in_.cols));
    const bool is_float8 = weight_.format.activation.rounding == ActivationRounding::float8_e4m3;
    for (std::size_t i = 0; i < source.size(); i += group) {
      const std::size_t count = std::min(group, source.size() - i);
      const std::span<const float> in = source.subspan(i, count);
      const float scale = input_scale(in, is_float8 ? kFloat8E4M3Max : kMaxInt8);
      for (std::size_t j = 0; j < count; ++j) {
        const float x = in[j];
        out[i + j] = has_no_values(scale) ? scale
                     : is_float8          ? scale * round_to_float8_e4m3(x / scale)
                                          : scale * int8_value(x, scale);
      }
    }
  }

  const Tensor& in_;
  const Weight& weight_;
  const RoundedInput& out_;
};

}  // namespace

RoundedInput RoundedInput::row_slice(std::int64_t first, std::int64_t count) const {
  RoundedInput slice = *this;
  slice.rows = count;
  if (integers != nullptr) {
    slice.integers += first * in_features;
    slice.scales += first * num_scales();
    slice.group_sums += first * num_groups;
  } else {
    slice.floats += first * in_features;
  }
  return slice;
}

RoundedInput take_rounded_input(Workspace& workspace, std::int64_t rows, std::int64_t in_features,
                                const WeightFormat& format) {
  RoundedInput input;
  if (format.activation.rounding == ActivationRounding::none) return input;
  input.rows = rows;
  input.in_features = in_features;
  if (!multiplies_integers(format, in_features)) {
    input.floats = workspace.take<float>(rows * in_features);
    return input;
  }
  input.scale_per_block = format.activation.group_size != 0;
  input.integers = workspace.take<std::int8_t>(rows * in_features);
  input.scales = workspace.take<float>(rows * input.num_scales());
  input.num_groups = format.group_size == 0 ? 1 : ceil_div(in_features, format.group_size);
  input.group_sums = workspace.take<double>(rows * input.num_groups);
  return input;
}

void round_input(const Tensor& in, const Weight& weight, const RoundedInput& out,
                 ThreadPool& pool) {
  constexpr std::int64_t kElementCost = 2;  // in multiply-adds
  const InputRounding rounding(in, weight, out);
  parallel_for(pool, in.rows * in.cols * kElementCost, in.rows,
               [&](std::int64_t row, int) { rounding.round_row(row); });
}

float round_to_int8(std::span<const float> in, std::int8_t* out) {
  const float scale = input_scale(in, kMaxInt8);
  if (has_no_values(scale)) {
    std::fill_n(out, in.size(), std::int8_t{0});
    return scale;
  }
  for (std::size_t i = 0; i < in.size(); ++i) {
    out[i] = static_cast<std::int8_t>(int8_value(in[i], scale));
  }
  return scale;
}

}  // namespace quern::cpu
