// Projections that round their inputs to int8 or E4M3 with dynamic scales.
#include <algorithm>
#include <cmath>
#include <limits>

#include "base/float8.h"
#include "tests/backend/conformance/backends.h"
#include "tests/backend/conformance/reference_ops.h"
#include "tests/backend/conformance/step_harness.h"
#include "tests/weights/quantized_weight.h"

namespace quern::testing {
namespace {

/// Inputs after their rounding, and what each may differ by.
struct Rounded {
  Matrix values;
  Matrix slack;
};

float rounded_value(ActivationRounding rounding, double quotient) {
  const auto x = static_cast<float>(quotient);
  if (rounding == ActivationRounding::float8_e4m3) return round_to_float8_e4m3(x);
  return std::clamp(std::nearbyint(x), -127.0f, 127.0f);
}

/// Rounds rows as weights/format.h says. `slack`: of the inputs, float32 errors before the
/// rounding: with them a value near an edge may be its neighbour, and a scale differs.
Rounded round_inputs(const Matrix& in, const Matrix& slack, const ActivationFormat& format) {
  Rounded result{Matrix(in.rows, in.cols), Matrix(in.rows, in.cols)};
  const float largest_value = format.rounding == ActivationRounding::int8 ? 127.0f : 448.0f;
  const std::int64_t group = format.group_size == 0 ? in.cols : format.group_size;
  for (std::int64_t row = 0; row < in.rows; ++row) {
    for (std::int64_t begin = 0; begin < in.cols; begin += group) {
      const std::int64_t end = std::min(begin + group, in.cols);
      double largest = 0.0;
      double most = 0.0;   // what the largest may be
      double least = 0.0;  // and must be
      for (std::int64_t k = begin; k < end; ++k) {
        const double size = std::abs(in.at(row, k));
        largest = std::max(largest, size);
        most = std::max(most, size + slack.at(row, k));
        least = std::max(least, size - slack.at(row, k));
      }
      const double moved = std::max(most - largest, largest - least);
      if (largest == 0.0) continue;
      const float scale = static_cast<float>(largest) / largest_value;
      const double relative = moved == 0.0 ? 0.0 : moved / largest + kFloatEpsilon;
      for (std::int64_t k = begin; k < end; ++k) {
        const double x = in.at(row, k);
        const auto value = [&](double shifted) {
          // One division of float32, as both sides do it.
          const float quotient = static_cast<float>(shifted) / scale;
          return static_cast<double>(rounded_value(format.rounding, quotient));
        };
        const double own = value(x);
        const double near = slack.at(row, k) + relative * std::abs(x);
        const double step =
            std::max(std::abs(value(x + near) - own), std::abs(value(x - near) - own));
        result.values.at(row, k) = scale * own;
        result.slack.at(row, k) = scale * step + relative * std::abs(scale * own);
      }
    }
  }
  return result;
}

double rounding_of(DType dtype) {
  return dtype == DType::float16 ? 0x1p-11 : dtype == DType::bfloat16 ? 0x1p-8 : 0.0;
}

/// Formats of a weight with what its inputs are rounded to.
std::vector<WeightFormat> rounded_formats() {
  using enum DType;
  constexpr ActivationFormat kInt8 = {ActivationRounding::int8};
  constexpr ActivationFormat kFloat8 = {ActivationRounding::float8_e4m3};
  return {
      {.stored = uint8, .scale_dtype = float32, .activation = kInt8},
      {.stored = uint8, .scale_dtype = bfloat16, .has_zero_points = true, .activation = kInt8},
      {.stored = uint8, .scale_dtype = float16, .group_rows = 0, .activation = kInt8},
      {.stored = uint8, .scale_dtype = float32, .group_rows = 48, .activation = kInt8},
      {.stored = uint8, .scale_dtype = float16, .group_size = 128, .activation = kInt8},
      {.stored = uint4, .scale_dtype = float16, .group_size = 64, .activation = kInt8},
      {.stored = uint8, .scale_dtype = float32, .activation = {ActivationRounding::int8, 32}},
      {.stored = float8_e4m3, .scale_dtype = float32, .activation = kFloat8},
      {.stored = float8_e4m3, .scale_dtype = bfloat16, .group_rows = 0, .activation = kFloat8},
      {.stored = float8_e4m3,
       .scale_dtype = float32,
       .group_size = 128,
       .group_rows = 128,
       .activation = {ActivationRounding::float8_e4m3, 128}},
      {.stored = uint8, .scale_dtype = float32, .activation = kFloat8},
  };
}

/// Whether products are sums of integers on every backend, but for sizes.
bool is_w8a8(const WeightFormat& format) {
  return format.stored == DType::uint8 && format.group_size == 0 &&
         format.activation == ActivationFormat{ActivationRounding::int8};
}

/// Whether a GPU may multiply E4M3 by E4M3.
bool is_float8(const WeightFormat& format) {
  return format.stored == DType::float8_e4m3 && format.group_size == 0 &&
         format.activation == ActivationFormat{ActivationRounding::float8_e4m3};
}

class RoundedInputsConformance : public TypedBackendTest {
 protected:
  /// Adds what kernels may round besides: a weight that is dequantized, and scale · value of
  /// groups; on a GPU the sums of float8 products (compare/bounds.h).
  void add_roundings(const WeightFormat& format, const WeightShape& shape, Rounded& in) const {
    if (is_w8a8(format) && shape.in_features % 16 == 0) return;
    const bool on_gpu = backend_->device().kind == DeviceKind::cuda;
    if (on_gpu && is_float8(format) && dtype() != DType::float32) {
      constexpr double kFloat8SumError = 160.0 * 0x1p-13;
      for (std::size_t i = 0; i < in.values.values.size(); ++i) {
        in.slack.values[i] += kFloat8SumError * std::abs(in.values.values[i]);
      }
    }
    const bool by_row =
        format.activation.group_size == 0 || format.activation.group_size >= shape.in_features;
    for (std::size_t i = 0; i < in.values.values.size(); ++i) {
      in.slack.values[i] +=
          rounding_of(dtype()) * (by_row ? 1.0 : 2.0) * std::abs(in.values.values[i]);
    }
  }

  void check(int rows, const WeightShape& shape, const WeightFormat& format, bool with_bias) {
    SCOPED_TRACE(::testing::Message() << rows << " x " << shape.in_features << " -> "
                                      << shape.out_features << ", " << format_name(format));
    StepHarness harness(*backend_, dtype(), {{.q_len = rows}});
    auto in = rounded(dtype(), random_floats(rows * shape.in_features, 1));
    // A row of zeros, one of a single outlier, and one of the smallest numbers.
    const auto row_of = [&](int row) {
      return std::span(in).subspan(static_cast<std::size_t>(row * shape.in_features),
                                   static_cast<std::size_t>(shape.in_features));
    };
    if (rows > 2) std::ranges::fill(row_of(1), 0.0f);
    if (rows > 3) row_of(2).front() = 1000.0f;
    const RandomQuantizedWeight weight(format, shape, 2);
    const auto bias = with_bias ? random_floats(shape.out_features, 3) : std::vector<float>{};
    Linear op{};
    op.in = harness.add_value(dtype(), shape.in_features, in);
    op.out = harness.add_value(dtype(), shape.out_features);
    op.weight = harness.add_weight(weight.source());
    if (with_bias) op.bias = harness.add_vector(bias);
    harness.run(op);

    // Inputs are the same numbers on every side, and so are their roundings.
    const Matrix exact(rows, shape.in_features, in);
    Rounded inputs = round_inputs(exact, Matrix(rows, shape.in_features), format.activation);
    add_roundings(format, shape, inputs);
    const Expected expected =
        reference_projection(inputs.values, inputs.slack,
                             Matrix(shape.out_features, shape.in_features, weight.numbers()), bias,
                             Activation::none, false);
    expect_close(harness.read(op.out), expected, static_cast<std::size_t>(shape.out_features),
                 dtype());
  }

  void check_norm(int rows, const WeightShape& shape, const WeightFormat& format, bool gated,
                  NormKind kind) {
    SCOPED_TRACE(::testing::Message()
                 << rows << " x " << shape.in_features << " -> " << shape.out_features << ", "
                 << format_name(format) << (gated ? ", gated" : ""));
    StepHarness harness(*backend_, dtype(), {{.q_len = rows}});
    const auto residual = random_floats(rows * shape.in_features, 1);
    const auto delta = rounded(dtype(), random_floats(rows * shape.in_features, 2));
    const RandomQuantizedWeight weight(format, shape, 3);
    const auto bias = random_floats(shape.out_features, 4);
    const ReferenceNorm norm{kind, random_floats(shape.in_features, 5), {}, 1e-5f};
    const std::int64_t out_features = gated ? shape.out_features / 2 : shape.out_features;
    NormLinear op{};
    op.residual = harness.add_value(DType::float32, shape.in_features, residual);
    op.delta = harness.add_value(dtype(), shape.in_features, delta);
    op.residual_out = harness.add_value(DType::float32, shape.in_features);
    op.out = harness.add_value(dtype(), out_features);
    op.gain = harness.add_vector(norm.gain);
    op.weight = harness.add_weight(weight.source());
    op.bias = harness.add_vector(bias);
    op.norm = norm.kind;
    op.epsilon = 1e-5f;
    op.activation = gated ? Activation::silu : Activation::none;
    op.gated = gated;
    harness.run(op);

    std::vector<float> sum = residual;
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += delta[i];
    EXPECT_EQ(harness.read(*op.residual_out), sum);
    Matrix slack(0, 0);
    const Matrix normed =
        reference_norm(Matrix(rows, shape.in_features, sum), norm, dtype(), slack);
    Rounded inputs = round_inputs(normed, slack, format.activation);
    add_roundings(format, shape, inputs);
    const Expected expected =
        reference_projection(inputs.values, inputs.slack,
                             Matrix(shape.out_features, shape.in_features, weight.numbers()), bias,
                             op.activation, gated);
    expect_close(harness.read(op.out), expected, static_cast<std::size_t>(out_features), dtype());
  }
};

TEST_P(RoundedInputsConformance, EveryFormat) {
  for (const WeightFormat& format : rounded_formats()) {
    for (const int rows : {1, 5, 20, 70}) {
      check(rows, {96, 384}, format, true);
      check(rows, {41, 200}, format, false);
    }
    check(3, {7, 37}, format, false);
  }
}

// Each of the integer kernels' tiles, whole and not, and inputs from less than a stage to more than
// a ring of them.
TEST_P(RoundedInputsConformance, SizesOfInt8Products) {
  const WeightFormat format = rounded_formats().front();
  for (const int rows : {0, 1, 2, 7, 15, 16, 17, 33, 63, 64, 65, 127, 128, 129, 200}) {
    check(rows, {136, 272}, format, true);
  }
  for (const std::int64_t in_features : {16, 48, 112, 128, 144, 512, 1152, 1520}) {
    for (const int rows : {3, 40, 130}) check(rows, {72, in_features}, format, false);
  }
  check(2, {1, 160}, format, true);
  for (const std::int64_t out_features : {3, 31, 33, 127, 264, 1000}) {
    for (const int rows : {2, 50, 140}) check(rows, {out_features, 160}, format, true);
  }
}

// Rows on both sides of where products of E4M3 begin, and outputs and inputs that no tile divides.
TEST_P(RoundedInputsConformance, SizesOfFloat8Products) {
  for (const WeightFormat& format : rounded_formats()) {
    if (!is_float8(format)) continue;
    for (const int rows : {16, 17, 64, 65, 129, 200, 300}) {
      check(rows, {136, 272}, format, true);
      check(rows, {132, 272}, format, true);  // not for 16-byte stores
    }
    for (const std::int64_t in_features : {16, 37, 64, 130, 1152}) {
      check(140, {72, in_features}, format, false);
    }
    for (const int rows : {16, 150}) {
      check_norm(rows, {528, 448}, format, true, NormKind::rms);
      check_norm(rows, {72, 1088}, format, false, NormKind::layer);
      check_norm(rows, {528, 401}, format, false, NormKind::layer);
    }
  }
}

TEST_P(RoundedInputsConformance, NormsAndGates) {
  for (const WeightFormat& format : rounded_formats()) {
    for (const bool gated : {false, true}) {
      for (const int rows : {1, 2, 20, 90}) {
        check_norm(rows, {96, 256}, format, gated, NormKind::rms);
      }
      check_norm(3, {72, 520}, format, gated, NormKind::layer);
    }
  }
  for (const int rows : {1, 40, 130, 200}) {
    const WeightFormat format = rounded_formats()[1];
    check_norm(rows, {528, 400}, format, true, NormKind::rms);
    check_norm(rows, {20, 256}, format, true, NormKind::layer);
  }
}

TEST_P(RoundedInputsConformance, ARowThatIsNotFiniteIsNaNAlone) {
  for (const WeightFormat& format : rounded_formats()) {
    if (format.activation.group_size != 0) continue;
    for (const int rows : {4, 40, 100}) {
      const RandomQuantizedWeight weight(format, {40, 256}, 2);
      StepHarness harness(*backend_, dtype(), {{.q_len = rows}});
      auto in = rounded(dtype(), random_floats(rows * 256, 1));
      in[256 + 17] = std::numeric_limits<float>::infinity();
      in[3 * 256 + 5] = std::numeric_limits<float>::quiet_NaN();
      Linear op{};
      op.in = harness.add_value(dtype(), 256, in);
      op.out = harness.add_value(dtype(), 40);
      op.weight = harness.add_weight(weight.source());
      harness.run(op);
      const auto out = harness.read(op.out);
      for (std::size_t i = 0; i < out.size(); ++i) {
        EXPECT_EQ(std::isnan(out[i]), i / 40 == 1 || i / 40 == 3)
            << i << ", " << format_name(format);
      }
    }
  }
}

QUERN_INSTANTIATE_TYPED(RoundedInputsConformance);

}  // namespace
}  // namespace quern::testing
