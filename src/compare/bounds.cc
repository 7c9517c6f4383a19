#include "compare/bounds.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/half.h"

namespace quern {
namespace {

constexpr double kEpsilon = 0x1p-23;  // of float32: twice its largest rounding error

double square(double x) { return x * x; }

/// A norm's rows before rounding, summed up: their length, and how far roundings that go another
/// way may move them.
struct NormedRow {
  double length = 0.0;
  double slack = 0.0;
  double product_slack_square = 0.0;  ///< how far they may move W · n, most likely
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
  // Subtracting the mean cancels; the rest is relative.
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
    product_slack_square += slack * inputs.weight.col_squares[i];  // signs are independent
  }
  return {std::sqrt(length_square), std::sqrt(slack_square), product_slack_square};
}

struct Bounded {
  double value;
  double bound;
};

Bounded activate(Activation activation, Bounded x) {
  const auto size = [](double value) { return 8.0 * kEpsilon * std::abs(value); };
  const double v = x.value;
  // No slope is above 1.13; the functions themselves are good to some units in the last place.
  switch (activation) {
    case Activation::none:
      return x;
    case Activation::silu:
      return {v / (1.0 + std::exp(-v)), 1.13 * x.bound + size(v)};
    case Activation::gelu:
    case Activation::gelu_tanh:  // the two differ by less than the second digit: enough for a bound
      return {0.5 * v * std::erfc(-v * std::sqrt(0.5)), 1.13 * x.bound + size(v)};
    case Activation::relu:
      return {std::max(v, 0.0), x.bound};
  }
  return x;
}

}  // namespace

double row_length(std::span<const float> row) {
  std::array<double, 8> sums{};  // several, so that they need not wait for each other
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
    const double per_length = static_cast<double>(in.cols) * kEpsilon * row_length(in.row(row));
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
        static_cast<double>(inputs.sum.cols) * kEpsilon * normed.length + normed.slack;
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
    // Of the outputs' square; a gated output has the moved row in both factors.
    const double whole =
        op.gated ? 0.25 * square(row_length(sums)) : square_of_outputs / square(1.13);
    bounds.nmse_slack.push_back(whole > 0.0 ? normed.product_slack_square / whole : 0.0);
  }
  return bounds;
}

namespace {

/// How much a head of q may be longer than it was in qkv.
double query_growth(const Attention& op, std::span<const float> head, std::span<const float> q_gain,
                    int position) {
  double growth = op.rope ? op.rope->attention_factor : 1.0;
  if (op.logn_length > 0 && position >= op.logn_length) {
    growth *= std::log(position + 1.0) / std::log(static_cast<double>(op.logn_length));
  }
  if (q_gain.empty()) return growth;
  double largest = 0.0;
  for (const float gain : q_gain) largest = std::max(largest, std::abs(double{gain}));
  const double mean_square = square(row_length(head)) / static_cast<double>(head.size());
  return growth * largest / std::sqrt(mean_square + op.norm_epsilon);
}

/// The largest step between neighbours of a dtype, relative to a number; 0 for float32, where
/// nothing is rounded on the way.
double relative_step(DType dtype) {
  if (dtype == DType::float16) return 0x1p-10;
  if (dtype == DType::bfloat16) return 0x1p-7;
  return 0.0;
}

class SequenceBounds {
 public:
  SequenceBounds(const Attention& op, const BoundedSequence& sequence, DType dtype)
      : op_(op),
        sequence_(sequence),
        step_(relative_step(dtype)),
        key_lengths_(static_cast<std::size_t>(op.num_kv_heads)),
        values_(static_cast<std::size_t>(op.num_kv_heads) * op.head_dim) {}

  /// The slots up to `slot` become visible.
  void show(std::int64_t slot) {
    for (; shown_ <= slot; ++shown_) {
      for (std::size_t head = 0; head < key_lengths_.size(); ++head) {
        const auto key = part(sequence_.keys.row(shown_), head);
        key_lengths_[head] = std::max(key_lengths_[head], row_length(key));
      }
      const auto values = sequence_.values.row(shown_);
      for (std::size_t i = 0; i < values.size(); ++i) {
        values_[i].least = std::min(values_[i].least, double{values[i]});
        values_[i].largest = std::max(values_[i].largest, double{values[i]});
      }
    }
  }

  /// Appends the bounds of `out`, one head of a query whose length is `length`.
  void add(std::size_t head, double length, std::span<const float> out, ErrorBounds& bounds) const {
    const std::size_t kv_head = head / static_cast<std::size_t>(op_.num_heads / op_.num_kv_heads);
    const double magnitude = op_.scale * length * key_lengths_[kv_head];
    const double score_error =
        kEpsilon * static_cast<double>(op_.head_dim) * magnitude + 2.0 * step_ * magnitude;
    const auto slots = static_cast<double>(shown_);
    const double moved = std::tanh(score_error / 2.0);
    const bool loose = moved >= kLoose;
    // The least positive float16 counts where a probability is below all others.
    const double roundings = 2.0 * (8.0 * kEpsilon + step_) +
                             (step_ == 0x1p-10 ? slots * 0x1p-23 : 0.0) +
                             (8.0 + std::sqrt(slots)) * kEpsilon;
    for (std::size_t i = 0; i < out.size(); ++i) {
      const Range& range = values_[kv_head * out.size() + i];
      const double scores = loose ? std::max(out[i] - range.least, range.largest - out[i])
                                  : moved * (range.largest - range.least);
      const double size = std::max(std::abs(range.least), std::abs(range.largest));
      bounds.elements.push_back(static_cast<float>(scores + roundings * size));
    }
    if (loose) bounds.num_loose += std::ssize(out);
  }

  std::span<const float> part(std::span<const float> row, std::size_t head) const {
    const auto size = static_cast<std::size_t>(op_.head_dim);
    return row.subspan(head * size, size);
  }

 private:
  /// From this share of the softmax on that scores may move, a bound is loose.
  static constexpr double kLoose = 0.5;
  struct Range {
    double least = std::numeric_limits<double>::infinity();
    double largest = -std::numeric_limits<double>::infinity();
  };

  const Attention& op_;
  const BoundedSequence& sequence_;
  double step_;
  std::int64_t shown_ = 0;
  std::vector<double> key_lengths_;  ///< by kv head, the longest shown
  std::vector<Range> values_;        ///< by element of all kv heads, of those shown
};

}  // namespace

ErrorBounds attention_bounds(const Attention& op, const AttentionInputs& inputs) {
  ErrorBounds bounds;
  const auto num_heads = static_cast<std::size_t>(op.num_heads);
  for (const BoundedSequence& sequence : inputs.sequences) {
    SequenceBounds shown(op, sequence, inputs.dtype);
    const std::int64_t past = sequence.keys.rows() - sequence.q_len;
    for (int i = 0; i < sequence.q_len; ++i) {
      shown.show(past + i);
      const auto row = inputs.qkv.row(sequence.first_row + i);
      const auto out = inputs.out.row(sequence.first_row + i);
      double longest = 0.0;
      for (std::size_t head = 0; head < num_heads; ++head) {
        const auto query = shown.part(row, head);
        const double growth = query_growth(op, query, inputs.q_gain, static_cast<int>(past + i));
        const auto result = shown.part(out, head);
        shown.add(head, growth * row_length(query), result, bounds);
        longest = std::max(longest, row_length(result));
      }
      const double length = row_length(out);
      const double share = length > 0.0 ? longest / length : 0.0;
      bounds.nmse_slack.push_back(square(relative_step(inputs.dtype) * share));
    }
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
