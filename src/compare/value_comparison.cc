#include "compare/value_comparison.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"

namespace quern {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Precision in bits (with the implicit one), smallest positive and largest finite number of a
/// dtype.
struct FloatFormat {
  int digits;
  double smallest;
  double largest;
};

FloatFormat format_of(DType dtype) {
  if (dtype == DType::float16) return {11, 0x1p-24, 65504.0};
  if (dtype == DType::bfloat16) return {8, 0x1p-133, 0x1.fep127};
  return {24, 0x1p-149, std::numeric_limits<float>::max()};
}

/// Maximum where NaN (an undefined bound or slack) counts as infinity: NaN comparisons would let it
/// pass every bound.
double larger_of(double size, double measured) {
  return std::isnan(measured) ? kInfinity : std::max(size, measured);
}

double error_of(float tested, float reference) {
  if (tested == reference || (std::isnan(tested) && std::isnan(reference))) return 0.0;
  const double error = std::abs(double{tested} - reference);
  return std::isfinite(error) ? error : kInfinity;
}

/// Reorders the errors.
ErrorStatistics summarize(std::vector<double>& errors) {
  if (errors.empty()) return {};
  ErrorStatistics summary;
  for (const double error : errors) {
    summary.max = std::max(summary.max, error);
    summary.mean += error / static_cast<double>(errors.size());
  }
  const auto middle = errors.begin() + std::ssize(errors) / 2;
  std::nth_element(errors.begin(), middle, errors.end());
  summary.median = *middle;
  return summary;
}

class RowsComparer {
 public:
  explicit RowsComparer(const ComparedRows& rows) : rows_(rows), format_(format_of(rows.dtype)) {}

  RowsDifference compare() {
    const auto count = static_cast<std::int64_t>(rows_.tested.size());
    absolute_.reserve(rows_.tested.size());
    relative_.reserve(rows_.tested.size());
    for (std::int64_t begin = 0; begin < count; begin += rows_.cols) compare_row(begin);
    difference_.absolute = summarize(absolute_);
    difference_.relative = summarize(relative_);
    return difference_;
  }

 private:
  void compare_row(std::int64_t begin) {
    double error_square = 0.0;
    double square = 0.0;
    double largest = 0.0;
    double second = 0.0;  // largest but for that one
    double ulp_square = 0.0;
    for (std::int64_t i = begin; i < begin + rows_.cols; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const double reference = rows_.reference[at];
      const double error = error_of(rows_.tested[at], rows_.reference[at]);
      count_kind(rows_.tested[at]);
      absolute_.push_back(error);
      if (reference != 0.0) relative_.push_back(relative_error(error, reference));
      error_square += error * error;
      if (std::isfinite(reference)) {
        square += reference * reference;
        second = std::max(second, std::min(largest, std::abs(reference)));
        largest = std::max(largest, std::abs(reference));
        const double ulp = unit_in_last_place(rows_.dtype, reference);
        ulp_square += ulp * ulp;
      }
      note_worst(i, error);
    }
    const double scale = square > 0.0 ? square : 1.0;
    const double nmse = error_square / scale;
    const double tie = unit_in_last_place(rows_.dtype, largest);
    const double second_tie = unit_in_last_place(rows_.dtype, second);
    if (nmse > difference_.nmse) {
      difference_.nmse = nmse;
      difference_.nmse_row = begin / rows_.cols;
    }
    const auto row = static_cast<std::size_t>(begin / rows_.cols);
    const double slack = rows_.nmse_slack.empty() ? 0.0 : rows_.nmse_slack[row];
    // A number that is perturbed by d before rounding to a grid of u changes by u with probability
    // d / u: the expected squared error is d u, not d².
    const double ties = slack + std::sqrt(slack * ulp_square / scale) +
                        (tie * tie + second_tie * second_tie) / scale;
    if (nmse == 0.0) return;
    difference_.nmse_but_for_ties = larger_of(difference_.nmse_but_for_ties, nmse - ties);
  }

  static double relative_error(double error, double reference) {
    if (error == 0.0 || !std::isfinite(reference)) return error;
    return error / std::abs(reference);
  }

  void note_worst(std::int64_t index, double error) {
    if (error == 0.0) return;
    const auto at = static_cast<std::size_t>(index);
    double size = error;
    if (!rows_.bounds.empty()) {
      const double value = std::isfinite(rows_.reference[at]) ? rows_.reference[at] : 0.0;
      size = larger_of(0.0, size / (rows_.bounds[at] + unit_in_last_place(rows_.dtype, value)));
      difference_.excess = std::max(difference_.excess, size);
    }
    if (size <= worst_size_) return;
    worst_size_ = size;
    difference_.worst = index;
  }

  void count_kind(float tested) {
    difference_.num_nan += std::isnan(tested) ? 1 : 0;
    difference_.num_infinite += std::isinf(tested) ? 1 : 0;
    difference_.num_saturated += std::abs(tested) == format_.largest ? 1 : 0;
  }

  const ComparedRows& rows_;
  FloatFormat format_;
  RowsDifference difference_;
  double worst_size_ = 0.0;
  std::vector<double> absolute_, relative_;
};

}  // namespace

double unit_in_last_place(DType dtype, double value) {
  const FloatFormat format = format_of(dtype);
  if (value == 0.0) return format.smallest;
  return std::max(format.smallest, std::ldexp(1.0, std::ilogb(value) - format.digits + 1));
}

RowsDifference compare_rows(const ComparedRows& rows) {
  QUERN_CHECK(rows.tested.size() == rows.reference.size() && rows.cols > 0 &&
                  rows.tested.size() % static_cast<std::size_t>(rows.cols) == 0 &&
                  (rows.bounds.empty() || rows.bounds.size() == rows.tested.size()),
              "{} and {} elements, {} bounds, {} columns", rows.tested.size(),
              rows.reference.size(), rows.bounds.size(), rows.cols);
  return RowsComparer(rows).compare();
}

}  // namespace quern
