#include "compare/bounds.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <tuple>
#include <utility>

#include "base/half.h"

namespace quern {
namespace {

constexpr double kEpsilon = 0x1p-23;  // of float32: twice the unit roundoff

double square(double x) { return x * x; }

/// The expected square of a weight's relative error.
double rounding_variance(const MatrixLengths& weight) { return square(weight.rounding) / 3.0; }

/// Statistics of a norm's rows before rounding: their length, and the effect of roundings that
/// differ between the sides.
struct NormedRow {
  double length = 0.0;
  double slack = 0.0;
  double product_slack_square = 0.0;  ///< expected square of their effect on W · n
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
  double length_square = 0.0;
  double slack_square = 0.0;
  double product_slack_square = 0.0;
  for (std::size_t i = 0; i < row.size(); ++i) {
    const double bias = inputs.norm_bias.empty() ? 0.0 : inputs.norm_bias[i];
    const double gain = inputs.gain[i];
    const double value = (row[i] - mean) * scale * gain + bias;
    const double error =
        8.0 * kEpsilon * (std::abs(value) + std::abs(bias) + cancelled * std::abs(gain));
    const auto rounded = [&](double x) { return round_to(inputs.dtype, static_cast<float>(x)); };
    const double slack = square(double{rounded(value + error)} - rounded(value - error));
    length_square += square(value);
    slack_square += slack;
    // Signs are independent.
    product_slack_square +=
        (slack + rounding_variance(inputs.weight) * square(value)) * inputs.weight.col_squares[i];
  }
  return {std::sqrt(length_square), std::sqrt(slack_square), product_slack_square};
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
    const double per_length =
        (static_cast<double>(in.cols) * kEpsilon + weight.rounding) * row_length(in.row(row));
    if (weight.rounding > 0.0) {
      double moved = 0.0;
      for (std::int64_t i = 0; i < in.cols; ++i) {
        const auto at = static_cast<std::size_t>(i);
        moved += square(in.row(row)[at]) * weight.col_squares[at];
      }
      const double whole = square(row_length(out.row(row)));
      bounds.nmse_slack.push_back(whole > 0.0 ? rounding_variance(weight) * moved / whole : 0.0);
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
        (static_cast<double>(inputs.sum.cols) * kEpsilon + inputs.weight.rounding) * normed.length +
        normed.slack;
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
    bounds.nmse_slack.push_back(whole > 0.0 ? normed.product_slack_square / whole : 0.0);
  }
  return bounds;
}

namespace {

/// A head of q or k as Attention computes it before rounding, and per element how far float32
/// errors may move the rounded number: mostly not at all, near a rounding boundary by one ulp of
/// the dtype.
struct PreparedHead {
  std::vector<double> values;
  std::vector<double> slack;

  double length() const {
    double sum = 0.0;
    for (const double value : values) sum += square(value);
    return std::sqrt(sum);
  }
};

/// `gain`: of the head's norm, or empty; `inv_freq`: of rope, or empty; `scale`: logn.
PreparedHead prepare_head(const Attention& op, std::span<const float> head,
                          std::span<const float> gain, std::span<const float> inv_freq,
                          std::int64_t position, double scale, DType dtype) {
  PreparedHead result{{head.begin(), head.end()}, {}};
  if (!gain.empty()) {
    const double mean_square = square(row_length(head)) / static_cast<double>(head.size());
    const double factor = 1.0 / std::sqrt(mean_square + op.norm_epsilon);
    for (std::size_t i = 0; i < head.size(); ++i) result.values[i] *= factor * gain[i];
  }
  std::vector<double> magnitude(head.size());  // of the terms that an element is summed from
  for (std::size_t i = 0; i < head.size(); ++i) magnitude[i] = std::abs(result.values[i]);
  for (std::size_t i = 0; i < inv_freq.size(); ++i) {
    const float angle = static_cast<float>(position) * inv_freq[i];  // float32, see Rope
    const double cosine = std::cos(double{angle}) * op.rope->attention_factor;
    const double sine = std::sin(double{angle}) * op.rope->attention_factor;
    double& first = result.values[i];
    double& second = result.values[i + inv_freq.size()];
    magnitude[i] = magnitude[i + inv_freq.size()] =
        op.rope->attention_factor * (std::abs(first) + std::abs(second));
    std::tie(first, second) =
        std::pair(first * cosine - second * sine, second * cosine + first * sine);
  }
  const auto rounded = [&](double x) { return double{round_to(dtype, static_cast<float>(x))}; };
  for (std::size_t i = 0; i < head.size(); ++i) {
    result.values[i] *= scale;
    const double error = 8.0 * kEpsilon * magnitude[i] * scale;
    result.slack.push_back(rounded(result.values[i] + error) - rounded(result.values[i] - error));
  }
  return result;
}

double logn_scale(const Attention& op, std::int64_t position) {
  if (op.logn_length == 0 || position < op.logn_length) return 1.0;
  return std::log(static_cast<double>(position) + 1.0) /
         std::log(static_cast<double>(op.logn_length));
}

/// Relative ulp of a dtype, at most; 0 for float32, where nothing is rounded in between.
double relative_step(DType dtype) {
  if (dtype == DType::float16) return 0x1p-10;
  if (dtype == DType::bfloat16) return 0x1p-7;
  return 0.0;
}

/// Bounds of one sequence's rows. The visible slots of a head grow token by token.
class SequenceBounds {
 public:
  SequenceBounds(const Attention& op, const AttentionInputs& inputs,
                 const BoundedSequence& sequence)
      : op_(op),
        inputs_(inputs),
        sequence_(sequence),
        step_(relative_step(inputs.dtype)),
        key_lengths_(static_cast<std::size_t>(op.num_kv_heads)),
        elements_(static_cast<std::size_t>(op.num_kv_heads) * op.head_dim) {}

  /// The sequence's i-th new token: makes its slot and those before it visible, and appends its
  /// bounds.
  void add_token(int i, ErrorBounds& bounds) {
    const std::int64_t position = sequence_.keys.rows() - sequence_.q_len + i;
    const auto row = inputs_.qkv.row(sequence_.first_row + i);
    const auto out = inputs_.out.row(sequence_.first_row + i);
    while (shown_ <= position) show_cached(shown_++);
    show_rounding_of_key(row, position);
    double longest = 0.0;
    for (std::size_t head = 0; head < static_cast<std::size_t>(op_.num_heads); ++head) {
      const PreparedHead query =
          prepare_head(op_, part(row, head), inputs_.q_gain, sequence_.inv_freq, position,
                       logn_scale(op_, position), inputs_.dtype);
      const auto result = part(out, head);
      add_head(head, query, result, bounds);
      longest = std::max(longest, row_length(result));
    }
    const double length = row_length(out);
    const double share = length > 0.0 ? longest / length : 0.0;
    bounds.nmse_slack.push_back(square(step_ * share));
  }

 private:
  /// A bound is loose if scores may move at least this share of the softmax.
  static constexpr double kLoose = 0.5;
  /// Per element, over the visible slots.
  struct Element {
    double least_value = std::numeric_limits<double>::infinity();
    double largest_value = -std::numeric_limits<double>::infinity();
    double largest_key = 0.0;
    double key_slack = 0.0;  ///< cached keys of earlier steps are equal on both sides
  };

  void show_cached(std::int64_t slot) {
    const auto keys = sequence_.keys.row(slot);
    const auto values = sequence_.values.row(slot);
    for (std::size_t head = 0; head < key_lengths_.size(); ++head) {
      key_lengths_[head] = std::max(key_lengths_[head], row_length(part(keys, head)));
    }
    for (std::size_t i = 0; i < elements_.size(); ++i) {
      Element& element = elements_[i];
      element.least_value = std::min(element.least_value, double{values[i]});
      element.largest_value = std::max(element.largest_value, double{values[i]});
      element.largest_key = std::max(element.largest_key, std::abs(double{keys[i]}));
    }
  }

  void show_rounding_of_key(std::span<const float> row, std::int64_t position) {
    for (std::size_t head = 0; head < key_lengths_.size(); ++head) {
      const PreparedHead key =
          prepare_head(op_, part(row, static_cast<std::size_t>(op_.num_heads) + head),
                       inputs_.k_gain, sequence_.inv_freq, position, 1.0, inputs_.dtype);
      Element* elements = elements_.data() + head * key.slack.size();
      for (std::size_t i = 0; i < key.slack.size(); ++i) {
        elements[i].key_slack = std::max(elements[i].key_slack, key.slack[i]);
      }
    }
  }

  void add_head(std::size_t head, const PreparedHead& query, std::span<const float> out,
                ErrorBounds& bounds) const {
    const std::size_t kv_head = head / static_cast<std::size_t>(op_.num_heads / op_.num_kv_heads);
    const Element* elements = elements_.data() + kv_head * out.size();
    double score_error =
        kEpsilon * static_cast<double>(op_.head_dim) * query.length() * key_lengths_[kv_head];
    for (std::size_t i = 0; i < out.size(); ++i) {
      score_error += query.slack[i] * elements[i].largest_key +
                     std::abs(query.values[i]) * elements[i].key_slack;
    }
    const double moved = std::tanh(op_.scale * score_error / 2.0);
    const bool loose = moved >= kLoose;
    const auto slots = static_cast<double>(shown_);
    // The smallest positive float16 matters where a weight underflows.
    const double roundings = 2.0 * (8.0 * kEpsilon + step_) +
                             (step_ == 0x1p-10 ? slots * 0x1p-23 : 0.0) +
                             (8.0 + std::sqrt(slots)) * kEpsilon;
    for (std::size_t i = 0; i < out.size(); ++i) {
      const double least = elements[i].least_value;
      const double largest = elements[i].largest_value;
      const double scores =
          loose ? std::max(out[i] - least, largest - out[i]) : moved * (largest - least);
      const double size = std::max(std::abs(least), std::abs(largest));
      bounds.elements.push_back(static_cast<float>(scores + roundings * size));
    }
    if (loose) bounds.num_loose += std::ssize(out);
  }

  std::span<const float> part(std::span<const float> row, std::size_t head) const {
    const auto size = static_cast<std::size_t>(op_.head_dim);
    return row.subspan(head * size, size);
  }

  const Attention& op_;
  const AttentionInputs& inputs_;
  const BoundedSequence& sequence_;
  double step_;
  std::int64_t shown_ = 0;
  std::vector<double> key_lengths_;  ///< by kv head, the maximum over visible slots
  std::vector<Element> elements_;    ///< of all kv heads
};

}  // namespace

ErrorBounds attention_bounds(const Attention& op, const AttentionInputs& inputs) {
  ErrorBounds bounds;
  for (const BoundedSequence& sequence : inputs.sequences) {
    SequenceBounds of_sequence(op, inputs, sequence);
    for (int i = 0; i < sequence.q_len; ++i) of_sequence.add_token(i, bounds);
  }
  return bounds;
}

ErrorBounds appended_key_bounds(const Attention& op, const HostRows& keys) {
  ErrorBounds bounds;
  const auto size = static_cast<std::size_t>(op.head_dim);
  for (std::size_t begin = 0; begin < keys.values.size(); begin += size) {
    const double length = row_length(std::span(keys.values).subspan(begin, size));
    bounds.elements.insert(bounds.elements.end(), size,
                           static_cast<float>(8.0 * kEpsilon * length));
  }
  return bounds;
}

}  // namespace quern
