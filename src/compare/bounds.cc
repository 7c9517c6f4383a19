#include "compare/bounds.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "base/half.h"
#include "compare/rounded_inputs.h"
#include "compare/rounding.h"

namespace quern {

double float8_sum_bias_square(double products, double outputs, std::int64_t num_inputs) {
  if (!(products > 0.0)) return 0.0;
  const double stages = std::ceil(static_cast<double>(num_inputs) / kFloat8Stage);
  const double aligned = std::min(outputs / (stages * products), kFloat8Addends);
  const double spread = 1.0 - aligned / kFloat8Addends;
  const double most = square(kFloat8Addends);
  const double surplus =
      kFloat8Addends * aligned < most * spread ? kFloat8Addends * aligned / spread : most;
  return surplus * 0x1p-28 * stages * products * (1.0 + aligned);
}

namespace {

/// What sums of products may differ by, of ‖x‖ ‖w‖.
double sum_error(const MatrixLengths& weight, std::int64_t num_inputs) {
  return static_cast<double>(num_inputs) * kEpsilon + weight.rounding +
         (weight.sums_float8 ? kFloat8SumError : 0.0);
}

/// The expected square of that, of Σ x² w², but for float32's.
double rounding_variance(const MatrixLengths& weight) {
  return square(weight.rounding) / 3.0 + (weight.sums_float8 ? kFloat8SumVariance : 0.0);
}

/// Statistics of a norm's rows before rounding: their length, and the effect of roundings that
/// differ between the sides.
struct NormedRow {
  double length = 0.0;
  double slack = 0.0;
  double product_slack_square = 0.0;  ///< expected square of their effect on W · n
  double products_square = 0.0;       ///< Σ n² w²
};

NormedRow norm_row(const NormLinear& op, const NormLinearInputs& inputs, std::int64_t index) {
  const auto row = inputs.sum.row(index);
  const auto count = static_cast<double>(row.size());
  double mean = 0.0;
  double largest = 0.0;
  for (const float x : row) {
    if (op.norm == NormKind::layer) mean += x / count;
    largest = std::max(largest, std::abs(double{x}));
  }
  double variance = 0.0;
  for (const float x : row) variance += square(x - mean) / count;
  const double scale = 1.0 / std::sqrt(variance + op.epsilon);
  // Subtracting the mean cancels; the rest is a relative error.
  const double cancelled = op.norm == NormKind::layer ? largest * scale : 0.0;
  std::vector<double> values(row.size());
  std::vector<double> moves(row.size());
  for (std::size_t i = 0; i < row.size(); ++i) {
    const double bias = inputs.norm_bias.empty() ? 0.0 : inputs.norm_bias[i];
    const double gain = inputs.gain[i];
    const double value = (row[i] - mean) * scale * gain + bias;
    const double error =
        8.0 * kEpsilon * (std::abs(value) + std::abs(bias) + cancelled * std::abs(gain));
    const auto rounded = [&](double x) { return round_to(inputs.dtype, static_cast<float>(x)); };
    values[i] = value;
    moves[i] = std::abs(double{rounded(value + error)} - rounded(value - error));
  }
  const RoundedInputs normed = round_inputs(values, moves, inputs.weight.inputs);
  double length_square = 0.0;
  double slack_square = 0.0;
  double product_slack_square = 0.0;
  double products_square = 0.0;
  for (std::size_t i = 0; i < row.size(); ++i) {
    const double slack = square(normed.moves[i]);
    length_square += square(normed.values[i]);
    slack_square += slack;
    products_square += square(normed.values[i]) * inputs.weight.col_squares[i];
    // Signs are independent.
    product_slack_square += (slack + rounding_variance(inputs.weight) * square(normed.values[i])) *
                            inputs.weight.col_squares[i];
  }
  return {std::sqrt(length_square), std::sqrt(slack_square), product_slack_square, products_square};
}

/// Inputs that are the same on both sides, rounded.
std::vector<float> rounded_row(std::span<const float> row, const ActivationFormat& format) {
  if (format.rounding == ActivationRounding::none) return {row.begin(), row.end()};
  const std::vector<double> numbers(row.begin(), row.end());
  const auto rounded = round_inputs(numbers, std::vector<double>(row.size()), format);
  return {rounded.values.begin(), rounded.values.end()};
}

struct Bounded {
  double value;
  double bound;
};

double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

Bounded activate_rare(Activation activation, Bounded x) {
  const double v = x.value;
  const double gelu = 0.5 * v * std::erfc(-v * std::sqrt(0.5));
  // The slope's bound, and some units in the last place of the argument.
  const auto bounded = [&](double value, double slope) {
    return Bounded{value, slope * x.bound + 8.0 * kEpsilon * (std::abs(v) + std::abs(value))};
  };
  switch (activation) {
    case Activation::quick_gelu:
      return bounded(v / (1.0 + std::exp(-1.702 * v)), 1.13);
    case Activation::gelu_10:
      return bounded(std::clamp(gelu, -10.0, 10.0), 1.13);
    case Activation::relu_squared:
      return bounded(square(std::max(v, 0.0)), 2.0 * std::abs(v) + x.bound);
    case Activation::relu6:
      return bounded(std::clamp(v, 0.0, 6.0), 1.0);
    case Activation::leaky_relu:
      return bounded(v < 0.0 ? 0.01 * v : v, 1.0);
    case Activation::tanh:
      return bounded(std::tanh(v), 1.0);
    case Activation::sigmoid:
      return bounded(1.0 / (1.0 + std::exp(-v)), 0.25);
    case Activation::mish:
      return bounded(v * std::tanh(softplus(v)), 1.13);
    case Activation::hardswish:
      return bounded(v * std::clamp(v + 3.0, 0.0, 6.0) / 6.0, 1.5);
    case Activation::laplace:
      return bounded(0.5 * std::erfc((0.707107 - v) / (0.282095 * std::sqrt(2.0))), 1.42);
    case Activation::sqrt_softplus:
      return bounded(std::sqrt(softplus(v)), 0.5);
    default:
      return x;
  }
}

Bounded activate(Activation activation, Bounded x) {
  const auto size = [](double value) { return 8.0 * kEpsilon * std::abs(value); };
  const double v = x.value;
  // No slope exceeds 1.13; the functions are accurate to a few ulp.
  switch (activation) {
    case Activation::none:
      return x;
    case Activation::silu:
      return {v / (1.0 + std::exp(-v)), 1.13 * x.bound + size(v)};
    case Activation::gelu:
    case Activation::gelu_tanh:  // both GELUs agree to two digits: enough for a bound
      return {0.5 * v * std::erfc(-v * std::sqrt(0.5)), 1.13 * x.bound + size(v)};
    case Activation::relu:
      return {std::max(v, 0.0), x.bound};
    default:
      return activate_rare(activation, x);
  }
}

}  // namespace

double row_length(std::span<const float> row) {
  std::array<double, 8> sums{};  // several accumulators hide latency
  const std::size_t even = row.size() / sums.size() * sums.size();
  for (std::size_t begin = 0; begin < even; begin += sums.size()) {
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += square(row[begin + i]);
  }
  for (std::size_t i = even; i < row.size(); ++i) sums[0] += square(row[i]);
  return std::sqrt(std::accumulate(sums.begin(), sums.end(), 0.0));
}

void MatrixLengths::add_rows(const HostRows& added) {
  col_squares.resize(static_cast<std::size_t>(added.cols));
  for (std::int64_t i = 0; i < added.rows(); ++i) {
    const auto row = added.row(i);
    rows.push_back(row_length(row));
    for (std::size_t k = 0; k < row.size(); ++k) col_squares[k] += square(row[k]);
  }
}

ErrorBounds linear_bounds(const HostRows& in, const MatrixLengths& weight, const HostRows& out) {
  ErrorBounds bounds;
  bounds.elements.reserve(out.values.size());
  for (std::int64_t row = 0; row < out.rows(); ++row) {
    const std::vector<float> inputs = rounded_row(in.row(row), weight.inputs);
    const double per_length = sum_error(weight, in.cols) * row_length(inputs);
    if (weight.rounding > 0.0) {
      double moved = 0.0;
      for (std::size_t i = 0; i < inputs.size(); ++i) {
        moved += square(inputs[i]) * weight.col_squares[i];
      }
      const double whole = square(row_length(out.row(row)));
      double lost = rounding_variance(weight) * moved;
      if (weight.sums_float8) lost += float8_sum_bias_square(moved, whole, in.cols);
      bounds.nmse_slack.push_back(whole > 0.0 ? lost / whole : 0.0);
    }
    for (std::int64_t col = 0; col < out.cols; ++col) {
      const auto at = static_cast<std::size_t>(col);
      const double bound =
          per_length * weight.rows[at] + kEpsilon * std::abs(double{out.row(row)[at]});
      bounds.elements.push_back(static_cast<float>(bound));
    }
  }
  return bounds;
}

ErrorBounds norm_linear_bounds(const NormLinear& op, const NormLinearInputs& inputs) {
  const std::int64_t num_sums = inputs.linear.cols;
  const std::int64_t cols = op.gated ? num_sums / 2 : num_sums;
  ErrorBounds bounds;
  for (std::int64_t row = 0; row < inputs.sum.rows(); ++row) {
    const NormedRow normed = norm_row(op, inputs, row);
    const double per_length =
        sum_error(inputs.weight, inputs.sum.cols) * normed.length + normed.slack;
    const auto sums = inputs.linear.row(row);
    const auto sum_at = [&](std::int64_t col) {
      const auto at = static_cast<std::size_t>(col);
      return Bounded{sums[at],
                     per_length * inputs.weight.rows[at] + kEpsilon * std::abs(double{sums[at]})};
    };
    double square_of_outputs = 0.0;
    for (std::int64_t col = 0; col < cols; ++col) {
      const Bounded result = activate(op.activation, sum_at(col));
      double bound = result.bound;
      square_of_outputs += square(result.value);
      if (op.gated) {
        const Bounded up = sum_at(cols + col);
        bound = result.bound * (std::abs(up.value) + up.bound) + up.bound * std::abs(result.value) +
                2.0 * kEpsilon * std::abs(result.value * up.value);
      }
      bounds.elements.push_back(static_cast<float>(bound));
    }
    // Relative to the outputs' square; in a gated output both factors change.
    const double whole =
        op.gated ? 0.25 * square(row_length(sums)) : square_of_outputs / square(1.13);
    double lost = normed.product_slack_square;
    if (inputs.weight.sums_float8) {
      lost +=
          float8_sum_bias_square(normed.products_square, square(row_length(sums)), inputs.sum.cols);
    }
    bounds.nmse_slack.push_back(whole > 0.0 ? lost / whole : 0.0);
  }
  return bounds;
}

}  // namespace quern
