#include "tests/backend/conformance/reference_ops.h"

#include <numbers>

#include "base/half.h"

namespace quern::testing {
namespace {

double round_double(DType dtype, double value) {
  return round_to(dtype, static_cast<float>(value));
}

double activation_of(Activation activation, double x) {
  switch (activation) {
    case Activation::none:
      return x;
    case Activation::silu:
      return x / (1.0 + std::exp(-x));
    case Activation::gelu:
      return 0.5 * x * std::erfc(-x / std::numbers::sqrt2);
    case Activation::gelu_tanh:
      return 0.5 * x *
             (1.0 + std::tanh(std::sqrt(2.0 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
    case Activation::relu:
      return std::max(x, 0.0);
    case Activation::quick_gelu:
      return x / (1.0 + std::exp(-1.702 * x));
    case Activation::gelu_10:
      return std::clamp(0.5 * x * std::erfc(-x / std::numbers::sqrt2), -10.0, 10.0);
    case Activation::relu_squared:
      return std::max(x, 0.0) * std::max(x, 0.0);
    case Activation::relu6:
      return std::clamp(x, 0.0, 6.0);
    case Activation::leaky_relu:
      return x < 0.0 ? 0.01 * x : x;
    case Activation::tanh:
      return std::tanh(x);
    case Activation::sigmoid:
      return 1.0 / (1.0 + std::exp(-x));
    case Activation::mish:
      return x * std::tanh(std::log1p(std::exp(x)));
    case Activation::hardswish:
      return x * std::clamp(x + 3.0, 0.0, 6.0) / 6.0;
    case Activation::laplace:
      return 0.5 * (1.0 + std::erf((x - 0.707107) / (0.282095 * std::numbers::sqrt2)));
    case Activation::sqrt_softplus:
      return std::sqrt(std::log1p(std::exp(x)));
  }
  return 0.0;
}

/// No slope is larger.
double largest_slope(Activation activation, double x) {
  switch (activation) {
    case Activation::relu_squared:
      return 2.0 * std::abs(x) + 1.0;
    case Activation::hardswish:
    case Activation::laplace:
      return 1.5;
    default:
      return 1.13;
  }
}

Bounded dot_product(const Matrix& in, const Matrix& slack, std::int64_t row, const Matrix& weight,
                    std::int64_t column) {
  Bounded sum;
  double in_square = 0.0;
  double weight_square = 0.0;
  for (std::int64_t k = 0; k < in.cols; ++k) {
    sum.value += in.at(row, k) * weight.at(column, k);
    const double moved = slack.at(row, k) * weight.at(column, k);
    sum.bound += std::abs(moved);
    sum.slack += moved * moved;  // signs are independent
    in_square += in.at(row, k) * in.at(row, k);
    weight_square += weight.at(column, k) * weight.at(column, k);
  }
  sum.slack = std::sqrt(sum.slack);
  sum.bound += static_cast<double>(in.cols) * kFloatEpsilon * std::sqrt(in_square * weight_square);
  return sum;
}

}  // namespace

Bounded reference_activation(Activation activation, Bounded x) {
  // The functions are accurate to a few ulp of the larger of argument and
  // result.
  const double value = activation_of(activation, x.value);
  if (activation == Activation::none) return x;
  const double slope = largest_slope(activation, x.value);
  const double size = std::max(std::abs(x.value), std::abs(value));
  return {value, slope * x.bound + 4.0 * kFloatEpsilon * size, slope * x.slack};
}

Matrix reference_norm(const Matrix& rows, const ReferenceNorm& norm, DType dtype, Matrix& slack) {
  Matrix result(rows.rows, rows.cols);
  slack = Matrix(rows.rows, rows.cols);
  const auto cols = static_cast<double>(rows.cols);
  for (std::int64_t row = 0; row < rows.rows; ++row) {
    double mean = 0.0;
    double mean_square = 0.0;
    double largest = 0.0;
    for (std::int64_t k = 0; k < rows.cols; ++k) {
      if (norm.kind == NormKind::layer) mean += rows.at(row, k) / cols;
      largest = std::max(largest, std::abs(rows.at(row, k)));
    }
    for (std::int64_t k = 0; k < rows.cols; ++k) {
      mean_square += (rows.at(row, k) - mean) * (rows.at(row, k) - mean) / cols;
    }
    const double scale = 1.0 / std::sqrt(mean_square + norm.epsilon);
    for (std::int64_t k = 0; k < rows.cols; ++k) {
      const auto i = static_cast<std::size_t>(k);
      const double bias = norm.bias.empty() ? 0.0 : norm.bias[i];
      const double value = (rows.at(row, k) - mean) * scale * norm.gain[i] + bias;
      // Subtracting the mean cancels; the rest is a relative error.
      const double cancelled = norm.kind == NormKind::layer ? largest * scale : 0.0;
      const double error = 8.0 * kFloatEpsilon *
                           (std::abs(value) + std::abs(bias) + cancelled * std::abs(norm.gain[i]));
      result.at(row, k) = round_double(dtype, value);
      slack.at(row, k) = std::max(std::abs(round_double(dtype, value + error) - result.at(row, k)),
                                  std::abs(round_double(dtype, value - error) - result.at(row, k)));
    }
  }
  return result;
}

Expected reference_projection(const Matrix& in, const Matrix& slack, const Matrix& weight,
                              const std::vector<float>& bias, Activation activation, bool gated) {
  const std::int64_t columns = gated ? weight.rows / 2 : weight.rows;
  const auto linear = [&](std::int64_t row, std::int64_t column) {
    Bounded sum = dot_product(in, slack, row, weight, column);
    if (!bias.empty()) {
      sum.value += bias[static_cast<std::size_t>(column)];
      sum.bound += kFloatEpsilon * std::abs(sum.value);
    }
    return sum;
  };
  Expected expected;
  for (std::int64_t row = 0; row < in.rows; ++row) {
    double square = 0.0;
    double slack_square = 0.0;
    for (std::int64_t column = 0; column < columns; ++column) {
      Bounded result = reference_activation(activation, linear(row, column));
      if (gated) {
        const Bounded up = linear(row, columns + column);
        result = {result.value * up.value,
                  result.bound * (std::abs(up.value) + up.bound) +
                      up.bound * std::abs(result.value) +
                      kFloatEpsilon * std::abs(result.value * up.value),
                  result.slack * std::abs(up.value) + up.slack * std::abs(result.value)};
      }
      expected.values.push_back(result.value);
      expected.bounds.push_back(result.bound);
      square += result.value * result.value;
      slack_square += result.slack * result.slack;
    }
    expected.nmse_slack.push_back(square > 0.0 ? slack_square / square : 0.0);
  }
  return expected;
}

std::vector<double> reference_head(const Attention& op, const std::vector<double>& head,
                                   const std::vector<float>& gain,
                                   const std::vector<float>& inv_freq, std::int32_t position,
                                   bool is_query, DType dtype, std::vector<double>* slack) {
  std::vector<double> result = head;
  if (!gain.empty()) {
    double mean_square = 0.0;
    for (const double x : head) mean_square += x * x / static_cast<double>(head.size());
    for (std::size_t i = 0; i < head.size(); ++i) {
      result[i] *= gain[i] / std::sqrt(mean_square + op.norm_epsilon);
    }
  }
  std::vector<double> magnitude(result.size());  // of the terms that an element is summed from
  std::transform(result.begin(), result.end(), magnitude.begin(),
                 [](double x) { return std::abs(x); });
  for (std::size_t i = 0; i < inv_freq.size(); ++i) {
    const float angle = static_cast<float>(position) * inv_freq[i];  // float32 by contract
    const double factor = op.rope->attention_factor;
    const double cosine = std::cos(static_cast<double>(angle)) * factor;
    const double sine = std::sin(static_cast<double>(angle)) * factor;
    const double first = result[i];
    const double second = result[i + inv_freq.size()];
    result[i] = first * cosine - second * sine;
    result[i + inv_freq.size()] = second * cosine + first * sine;
    magnitude[i] = magnitude[i + inv_freq.size()] = std::abs(first) + std::abs(second);
  }
  const bool scaled = is_query && op.logn_length > 0 && position >= op.logn_length;
  const double logn =
      scaled ? std::log(position + 1.0) / std::log(static_cast<double>(op.logn_length)) : 1.0;
  if (slack != nullptr) slack->clear();
  for (std::size_t i = 0; i < result.size(); ++i) {
    const double exact = result[i] * logn;
    const double error = 8.0 * kFloatEpsilon * magnitude[i] * logn;
    result[i] = round_double(dtype, exact);
    if (slack == nullptr) continue;
    slack->push_back(std::max(std::abs(round_double(dtype, exact + error) - result[i]),
                              std::abs(round_double(dtype, exact - error) - result[i])));
  }
  return result;
}

Expected reference_attention(const Attention& op, const std::vector<double>& query,
                             const std::vector<double>& query_slack,
                             const std::vector<std::vector<float>>& keys,
                             const std::vector<std::vector<float>>& values, DType dtype,
                             bool scaled_values) {
  std::vector<double> scores;
  double magnitude = 0.0;  // of the products in a score
  for (const auto& key : keys) {
    double score = 0.0;
    double products = 0.0;
    for (std::size_t i = 0; i < key.size(); ++i) {
      score += query[i] * key[i];
      products += std::abs(query[i] * key[i]);
    }
    score *= op.scale;
    if (op.softcap > 0.0f) score = op.softcap * std::tanh(score / op.softcap);
    scores.push_back(score);
    magnitude = std::max(magnitude, op.scale * products);
  }
  const double largest = *std::max_element(scores.begin(), scores.end());
  const double reference = std::ceil(largest / std::numbers::ln2) * std::numbers::ln2;
  double sum = 0.0;
  double rounded_later = 0.0;  // of the weights' ulps times the values
  Expected expected{std::vector<double>(query.size()), std::vector<double>(query.size())};
  for (std::size_t slot = 0; slot < keys.size(); ++slot) {
    const double probability = std::exp(scores[slot] - reference);
    sum += probability;
    const double rounded = round_double(dtype, probability);
    // Float32 scores change a weight by `error`; near a rounding boundary by one ulp of dtype, and
    // so do q and k, which were rounded from float32 numbers as well.
    const double step = dtype == DType::float32 ? 0.0 : ulp(dtype, probability);
    const double error =
        probability * kFloatEpsilon * (static_cast<double>(query.size()) * magnitude + 8.0) + step;
    for (std::size_t i = 0; i < query.size(); ++i) {
      expected.values[i] += rounded * values[slot][i];
      expected.bounds[i] += 2.0 * error * std::abs(values[slot][i]);
      if (scaled_values) rounded_later += std::pow(step * values[slot][i], 2.0);
    }
  }
  const auto count = static_cast<double>(keys.size());
  for (std::size_t i = 0; i < query.size(); ++i) {
    expected.values[i] /= sum;
    expected.bounds[i] = expected.bounds[i] / sum +
                         (8.0 + std::sqrt(count)) * kFloatEpsilon * std::abs(expected.values[i]);
  }
  // To first order a score that changes by d changes the result by p d (v - result).
  double moved_scores = 0.0;   // mean square, weighted by probability
  double spread_square = 0.0;  // of the values about the result
  for (std::size_t slot = 0; slot < keys.size(); ++slot) {
    const double probability = std::exp(scores[slot] - reference) / sum;
    double moved = 0.0;
    for (std::size_t i = 0; i < query.size(); ++i) {
      moved += std::pow(op.scale * query_slack[i] * keys[slot][i], 2.0);
      spread_square += probability * std::pow(values[slot][i] - expected.values[i], 2.0);
    }
    moved_scores += probability * moved;
  }
  expected.nmse_slack.push_back(moved_scores * spread_square + rounded_later / (sum * sum));
  return expected;
}

}  // namespace quern::testing
