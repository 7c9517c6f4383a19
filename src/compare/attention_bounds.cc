#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "base/half.h"
#include "compare/bounds.h"
#include "compare/rounding.h"

namespace quern {
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
