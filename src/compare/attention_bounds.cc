#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "base/float8.h"
#include "base/half.h"
#include "compare/bounds.h"
#include "compare/rounding.h"
#include "graph/kv_vector.h"

namespace quern {
namespace {

/// A head of q or k as Attention computes it before rounding, and per element how far float32
/// errors may move the rounded number: mostly not at all, near a rounding boundary by one ulp of
/// the dtype.
struct PreparedHead {
  std::vector<double> values;
  std::vector<double> errors;  ///< of float32 arithmetic
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
  PreparedHead result{{head.begin(), head.end()}, {}, {}};
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
    result.errors.push_back(error);
    result.slack.push_back(rounded(result.values[i] + error) - rounded(result.values[i] - error));
  }
  return result;
}

/// A number of a stored type nearest to x.
double nearest_number(DType stored, double x) {
  if (stored == DType::uint8) return std::nearbyint(x);
  return double{round_to_float8_e4m3(static_cast<float>(x))};
}

/// Per element of a key that is stored with a scale, the range of what it may be stored as; see
/// scaled_key_bounds(). The element is known up to its error, and rounded to the activation dtype.
std::vector<double> scaled_slack(const PreparedHead& key, DType stored, DType dtype) {
  const auto rounded = [&](double x) { return double{round_to(dtype, static_cast<float>(x))}; };
  std::vector<std::pair<double, double>> ranges;
  double least_maximum = 0.0;
  double most_maximum = 0.0;
  for (std::size_t i = 0; i < key.values.size(); ++i) {
    const double low = rounded(key.values[i] - key.errors[i]);
    const double high = rounded(key.values[i] + key.errors[i]);
    ranges.emplace_back(low, high);
    const double least = low * high <= 0.0 ? 0.0 : std::min(std::abs(low), std::abs(high));
    least_maximum = std::max(least_maximum, least);
    most_maximum = std::max({most_maximum, std::abs(low), std::abs(high)});
  }
  std::vector<double> slack(ranges.size());
  if (least_maximum < kSmallestKvMagnitude) {  // zeros, or not
    std::fill(slack.begin(), slack.end(), 2.0 * most_maximum);
    return slack;
  }
  constexpr double kRoundings = 2.0 * kEpsilon;  // of scale and quotient, of scale and product
  const double limit = kv_limit(stored);
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    double least = std::numeric_limits<double>::infinity();
    double most = -least;
    for (const double x : {ranges[i].first, ranges[i].second}) {
      for (const double maximum : {least_maximum, most_maximum}) {
        for (const double factor : {1.0 - kRoundings, 1.0 + kRoundings}) {
          const double number = nearest_number(stored, x * limit / maximum * factor);
          const double value = number * maximum / limit;
          least = std::min({least, value * (1.0 - kRoundings), value * (1.0 + kRoundings)});
          most = std::max({most, value * (1.0 - kRoundings), value * (1.0 + kRoundings)});
        }
      }
    }
    slack[i] = most - least;
  }
  return slack;
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
        elements_(static_cast<std::size_t>(op.num_kv_heads) * op.head_dim),
        scaled_slack_(static_cast<std::size_t>(op.num_kv_heads)) {}

  /// The sequence's i-th new token: makes its slot and those before it visible, and appends its
  /// bounds.
  void add_token(int i, ErrorBounds& bounds) {
    const std::int64_t position = sequence_.keys.rows() - sequence_.q_len + i;
    const auto row = inputs_.qkv.row(sequence_.first_row + i);
    const auto out = inputs_.out.row(sequence_.first_row + i);
    while (shown_ <= position) show_cached(shown_++);
    show_rounding_of_key(row, position);
    double longest = 0.0;
    double moved_by_keys = 0.0;
    for (std::size_t head = 0; head < static_cast<std::size_t>(op_.num_heads); ++head) {
      const PreparedHead query =
          prepare_head(op_, part(row, head), inputs_.q_gain, sequence_.inv_freq, position,
                       logn_scale(op_, position), inputs_.dtype);
      const auto result = part(out, head);
      moved_by_keys += add_head(head, query, result, bounds);
      longest = std::max(longest, row_length(result));
    }
    const double length = row_length(out);
    const double share = length > 0.0 ? longest / length : 0.0;
    const double keys = length > 0.0 ? moved_by_keys / square(length) : 0.0;
    // A scale may enter a weight before it is rounded: each then differs by up to half an ulp more.
    const double weights = is_scaled(inputs_.kv_format.values) ? square(step_ / 2.0) : 0.0;
    bounds.nmse_slack.push_back(square(step_ * share) + keys + weights);
  }

  /// Appends the bounds of the i-th new token's keys.
  void add_keys(int i, ErrorBounds& bounds) const {
    const std::int64_t position = sequence_.keys.rows() - sequence_.q_len + i;
    const auto row = inputs_.qkv.row(sequence_.first_row + i);
    double squares = 0.0;
    for (std::size_t head = 0; head < key_lengths_.size(); ++head) {
      for (const double slack : key_slack(row, head, position)) {
        bounds.elements.push_back(static_cast<float>(slack));
        squares += square(slack);
      }
    }
    const double length = row_length(sequence_.keys.row(position));
    bounds.nmse_slack.push_back(length > 0.0 ? squares / square(length) : 0.0);
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
      const std::vector<double> slack = key_slack(row, head, position);
      if (is_scaled(inputs_.kv_format.keys)) {
        scaled_slack_[head].push_back(slack);
        continue;
      }
      Element* elements = elements_.data() + head * slack.size();
      for (std::size_t i = 0; i < slack.size(); ++i) {
        elements[i].key_slack = std::max(elements[i].key_slack, slack[i]);
      }
    }
  }

  /// What the new key of a kv head may differ by, per element.
  std::vector<double> key_slack(std::span<const float> row, std::size_t head,
                                std::int64_t position) const {
    PreparedHead key =
        prepare_head(op_, part(row, static_cast<std::size_t>(op_.num_heads) + head), inputs_.k_gain,
                     sequence_.inv_freq, position, 1.0, inputs_.dtype);
    const DType stored = inputs_.kv_format.keys;
    return is_scaled(stored) ? scaled_slack(key, stored, inputs_.dtype) : std::move(key.slack);
  }

  /// The largest error of a new slot's product, from keys that are stored with scales: few of their
  /// numbers may differ, but by whole steps.
  double scaled_key_error(std::size_t kv_head, const PreparedHead& query) const {
    double largest = 0.0;
    for (const std::vector<double>& slack : scaled_slack_[kv_head]) {
      double error = 0.0;
      for (std::size_t i = 0; i < slack.size(); ++i) {
        error += std::abs(query.values[i]) * slack[i];
      }
      largest = std::max(largest, error);
    }
    return largest;
  }

  /// Returns the square of what keys stored with scales may move the head's result by.
  double add_head(std::size_t head, const PreparedHead& query, std::span<const float> out,
                  ErrorBounds& bounds) const {
    const std::size_t kv_head = head / static_cast<std::size_t>(op_.num_heads / op_.num_kv_heads);
    const Element* elements = elements_.data() + kv_head * out.size();
    double score_error =
        kEpsilon * static_cast<double>(op_.head_dim) * query.length() * key_lengths_[kv_head];
    for (std::size_t i = 0; i < out.size(); ++i) {
      score_error += query.slack[i] * elements[i].largest_key +
                     std::abs(query.values[i]) * elements[i].key_slack;
    }
    const double key_error = scaled_key_error(kv_head, query);
    const double moved = std::tanh(op_.scale * (score_error + key_error) / 2.0);
    const double moved_by_keys = std::tanh(op_.scale * key_error / 2.0);
    double squares = 0.0;
    const bool loose = moved >= kLoose;
    const auto slots = static_cast<double>(shown_);
    // The smallest positive float16 matters where a weight underflows; with a scale in the weight,
    // relative to the largest value of any element.
    const double underflow = step_ == 0x1p-10 ? slots * 0x1p-23 : 0.0;
    const bool scaled = is_scaled(inputs_.kv_format.values);
    const double roundings = 2.0 * (8.0 * kEpsilon + step_) + (scaled ? 0.0 : underflow) +
                             (8.0 + std::sqrt(slots)) * kEpsilon;
    double largest_of_all = 0.0;
    for (std::size_t i = 0; scaled && i < out.size(); ++i) {
      largest_of_all = std::max(
          {largest_of_all, std::abs(elements[i].least_value), std::abs(elements[i].largest_value)});
    }
    for (std::size_t i = 0; i < out.size(); ++i) {
      const double least = elements[i].least_value;
      const double largest = elements[i].largest_value;
      squares += square(moved_by_keys * (largest - least));
      const double scores =
          loose ? std::max(out[i] - least, largest - out[i]) : moved * (largest - least);
      const double size = std::max(std::abs(least), std::abs(largest));
      bounds.elements.push_back(
          static_cast<float>(scores + roundings * size + underflow * largest_of_all));
    }
    if (loose) bounds.num_loose += std::ssize(out);
    return squares;
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
  /// By kv head and new token, of keys that are stored with scales.
  std::vector<std::vector<std::vector<double>>> scaled_slack_;
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

ErrorBounds scaled_key_bounds(const Attention& op, const AttentionInputs& inputs) {
  ErrorBounds bounds;
  for (const BoundedSequence& sequence : inputs.sequences) {
    const SequenceBounds of_sequence(op, inputs, sequence);
    for (int i = 0; i < sequence.q_len; ++i) of_sequence.add_keys(i, bounds);
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
