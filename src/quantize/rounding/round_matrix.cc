#include "quantize/rounding/round_matrix.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <vector>

#include "backend/cpu/gemm/gemm.h"
#include "backend/cpu/views.h"
#include "base/check.h"
#include "base/error.h"
#include "base/memory/shape.h"
#include "quantize/rounding/factorize.h"

namespace quern {
namespace {

constexpr std::int64_t kRowsAtATime = 32;
constexpr std::int64_t kBlockInputs = 128;  ///< inputs between two products of all earlier errors
/// Added to the diagonal of the squares, relative to its mean: inputs that depend on each other
/// would make rounding errors of the factors large. GPTQ's value.
constexpr float kDamping = 0.01f;

QuantizedRows empty_rows(const MatrixToRound& matrix) {
  QUERN_CHECK(matrix.group_size > 0 && matrix.inputs % matrix.group_size == 0);
  QuantizedRows result{matrix.rows(), matrix.inputs, matrix.group_size, {}, {}};
  result.bytes.resize(matrix.values.size());
  result.scales.resize(static_cast<std::size_t>(result.rows * result.num_groups()));
  return result;
}

template <typename Body>
void for_row_tiles(std::int64_t num_rows, ThreadPool& pool, const Body& body) {
  pool.parallel_for(ceil_div(num_rows, kRowsAtATime), [&](std::int64_t index, int /*thread*/) {
    const std::int64_t first = index * kRowsAtATime;
    body(first, std::min(kRowsAtATime, num_rows - first));
  });
}

/// `scale_of_group(group, first_input)` chooses each scale.
template <typename ScaleOfGroup>
void choose_scales(const MatrixToRound& matrix, QuantizedRows& result, ThreadPool& pool,
                   const ScaleOfGroup& scale_of_group) {
  const auto group_size = static_cast<std::size_t>(matrix.group_size);
  const auto groups = static_cast<std::size_t>(result.num_groups());
  for_row_tiles(result.rows, pool, [&](std::int64_t first, std::int64_t count) {
    for (std::int64_t row = first; row < first + count; ++row) {
      for (std::size_t g = 0; g < groups; ++g) {
        result.scales[static_cast<std::size_t>(row) * groups + g] =
            scale_of_group(matrix.row(row).subspan(g * group_size, group_size), g * group_size);
      }
    }
  });
}

/// The rounding of round_with_feedback() for some rows, with inputs in the order of `order` and
/// factors M of their squares, M · Mᵀ. The sum that is to be small is then ‖(T - Q) · M‖² and what
/// no Q changes, for the best matrix without rounding T = W + drift · (M · Mᵀ)⁻¹.
class FeedbackRows {
 public:
  FeedbackRows(const MatrixToRound& matrix, std::span<float> factors, std::span<const float> drift,
               std::span<const std::int64_t> order, QuantizedRows& result)
      : matrix_(matrix), factors_(factors), drift_(drift), order_(order), result_(result) {}

  void round(std::int64_t first, std::int64_t count) const {
    const std::int64_t inputs = matrix_.inputs;
    std::vector<float> errors(static_cast<std::size_t>(count * inputs));
    const std::vector<float> shifts = drift_.empty() ? errors : shifts_of(first, count);
    std::array<float, kRowsAtATime * kBlockInputs> sums;
    for (std::int64_t begin = 0; begin < inputs; begin += kBlockInputs) {
      const std::int64_t width = std::min(kBlockInputs, inputs - begin);
      // Column k of the sums: (T - W) · M, and Σ over earlier inputs i of error_i · M[i, k].
      for (std::int64_t row = 0; row < count; ++row) {
        std::copy_n(shifts.data() + row * inputs + begin, width, sums.data() + row * kBlockInputs);
      }
      if (begin > 0) {
        cpu::multiply_accumulate(cpu::float_view(errors.data(), count, begin, inputs),
                                 cpu::float_view(factors_.data() + begin, begin, width, inputs),
                                 cpu::float_view(sums.data(), count, width, kBlockInputs));
      }
      for (std::int64_t row = 0; row < count; ++row) {
        round_block(first + row, begin, width, errors.data() + row * inputs,
                    sums.data() + row * kBlockInputs);
      }
    }
  }

 private:
  /// (T - W) · M for some rows: Z with Z · Mᵀ = drift, from the last input to the first.
  std::vector<float> shifts_of(std::int64_t first, std::int64_t count) const {
    const std::int64_t inputs = matrix_.inputs;
    std::vector<float> shifts(static_cast<std::size_t>(count * inputs));
    std::array<float, kRowsAtATime * kBlockInputs> sums;
    for (std::int64_t end = inputs; end > 0;) {
      const std::int64_t begin = (end - 1) / kBlockInputs * kBlockInputs;
      const std::int64_t width = end - begin;
      // Column k of the sums: Σ over inputs j of later blocks of Z_j · M[k, j].
      sums.fill(0.0f);
      if (end < inputs) {
        cpu::multiply_transposed(
            cpu::float_view(shifts.data() + end, count, inputs - end, inputs),
            cpu::float_view(factors_.data() + begin * inputs + end, width, inputs - end, inputs),
            cpu::float_view(sums.data(), count, width, kBlockInputs));
      }
      for (std::int64_t row = 0; row < count; ++row) {
        const float* drift = drift_.data() + (first + row) * inputs;
        float* shift = shifts.data() + row * inputs;
        for (std::int64_t k = end - 1; k >= begin; --k) {
          const float* factor_row = factors_.data() + k * inputs;
          float rest =
              drift[order_[static_cast<std::size_t>(k)]] - sums[row * kBlockInputs + k - begin];
          for (std::int64_t j = k + 1; j < end; ++j) rest -= shift[j] * factor_row[j];
          shift[k] = rest / factor_row[k];
        }
      }
      end = begin;
    }
    return shifts;
  }

  /// Rounds inputs [begin, begin + width) of the order, of one row.
  void round_block(std::int64_t row, std::int64_t begin, std::int64_t width, float* errors,
                   float* sums) const {
    const std::int64_t inputs = matrix_.inputs;
    const auto values = matrix_.row(row);
    const auto scales = result_.row_scales(row);
    for (std::int64_t k = 0; k < width; ++k) {
      const float* factor_row = factors_.data() + (begin + k) * inputs + begin;
      const std::int64_t input = order_[static_cast<std::size_t>(begin + k)];
      const float value = values[static_cast<std::size_t>(input)];
      const float scale = scales[static_cast<std::size_t>(input / matrix_.group_size)];
      const float wanted = value + sums[k] / factor_row[k];
      const float stored = matrix_.grid.nearest(wanted / scale);
      result_.bytes[static_cast<std::size_t>(row * inputs + input)] = matrix_.grid.byte_of(stored);
      const float error = value - scale * stored;
      errors[begin + k] = error;
      for (std::int64_t j = k + 1; j < width; ++j) sums[j] += error * factor_row[j];
    }
  }

  const MatrixToRound& matrix_;
  std::span<float> factors_;
  std::span<const float> drift_;
  std::span<const std::int64_t> order_;
  QuantizedRows& result_;
};

/// Permutes rows and columns of a symmetric matrix in place.
void permute(std::span<float> matrix, std::span<const std::int64_t> order) {
  const std::size_t size = order.size();
  std::vector<float> row(size);
  std::vector<bool> is_done(size);
  const auto at = [&](std::size_t i) { return matrix.subspan(i * size, size); };
  for (std::size_t i = 0; i < size; ++i) {
    std::ranges::copy(at(i), row.begin());
    for (std::size_t j = 0; j < size; ++j) at(i)[j] = row[static_cast<std::size_t>(order[j])];
  }
  // Whole rows along the cycles of the permutation.
  for (std::size_t start = 0; start < size; ++start) {
    if (is_done[start]) continue;
    std::ranges::copy(at(start), row.begin());
    std::size_t to = start;
    for (;;) {
      is_done[to] = true;
      const auto from = static_cast<std::size_t>(order[to]);
      if (from == start) break;
      std::ranges::copy(at(from), at(to).begin());
      to = from;
    }
    std::ranges::copy(row, at(to).begin());
  }
}

/// Replaces the squares by the factors of them and of a share of their mean more on the diagonal:
/// kDamping, or more where float32 does not have the factors otherwise.
void factorize(std::span<float> squares, std::int64_t inputs, ThreadPool& pool) {
  constexpr int kTries = 5;
  std::vector<float> diagonal(static_cast<std::size_t>(inputs));
  double sum = 0.0;
  for (std::int64_t i = 0; i < inputs; ++i) {
    diagonal[i] = squares[i * inputs + i];
    sum += diagonal[i];
  }
  // An input that is always 0 counts as any other would.
  const float mean = sum > 0.0 ? static_cast<float>(sum / static_cast<double>(inputs)) : 1.0f;
  float damping = kDamping;
  for (int i = 0; i < kTries; ++i, damping *= 10.0f) {
    for (std::int64_t row = 0; row < inputs; ++row) {
      squares[row * inputs + row] = (diagonal[row] > 0.0f ? diagonal[row] : mean) + damping * mean;
      for (std::int64_t col = row + 1; col < inputs; ++col) {
        squares[row * inputs + col] = squares[col * inputs + row];
      }
    }
    if (factorize_upper(squares, inputs, pool)) return;
  }
  fail(ErrorCode::unsupported, "calibration: expected inputs of finite size, got squares of {}",
       mean);
}

}  // namespace

QuantizedRows round_to_nearest(const MatrixToRound& matrix, ThreadPool& pool) {
  QuantizedRows result = empty_rows(matrix);
  choose_scales(matrix, result, pool, [&](std::span<const float> group, std::size_t /*first*/) {
    return scale_of(matrix.grid, matrix.scale_dtype, group);
  });
  for_row_tiles(result.rows, pool, [&](std::int64_t first, std::int64_t count) {
    for (std::int64_t row = first; row < first + count; ++row) {
      const auto values = matrix.row(row);
      for (std::size_t i = 0; i < values.size(); ++i) {
        const float scale = result.row_scales(row)[i / static_cast<std::size_t>(matrix.group_size)];
        result.bytes[static_cast<std::size_t>(row * matrix.inputs) + i] =
            matrix.grid.byte_of(matrix.grid.nearest(values[i] / scale));
      }
    }
  });
  return result;
}

QuantizedRows round_with_feedback(const MatrixToRound& matrix, std::span<float> squares,
                                  std::span<const float> drift, ThreadPool& pool) {
  QUERN_CHECK(drift.empty() || drift.size() == matrix.values.size());
  QuantizedRows result = empty_rows(matrix);
  const std::int64_t inputs = matrix.inputs;
  std::vector<float> importance(static_cast<std::size_t>(inputs));
  for (std::int64_t i = 0; i < inputs; ++i) importance[i] = squares[i * inputs + i];
  choose_scales(matrix, result, pool, [&](std::span<const float> group, std::size_t first) {
    return best_scale(matrix.grid, matrix.scale_dtype, group,
                      std::span(importance).subspan(first, group.size()));
  });

  std::vector<std::int64_t> order(importance.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, std::ranges::greater(),
                           [&](std::int64_t i) { return importance[static_cast<std::size_t>(i)]; });
  permute(squares, order);
  factorize(squares, inputs, pool);
  const FeedbackRows rows(matrix, squares, drift, order, result);
  for_row_tiles(result.rows, pool,
                [&](std::int64_t first, std::int64_t count) { rows.round(first, count); });
  return result;
}

void dequantize(const QuantizedRows& matrix, const Grid& grid, std::span<float> out) {
  const auto inputs = static_cast<std::size_t>(matrix.inputs);
  for (std::int64_t row = 0; row < matrix.rows; ++row) {
    const auto scales = matrix.row_scales(row);
    for (std::size_t i = 0; i < inputs; ++i) {
      const std::size_t at = static_cast<std::size_t>(row) * inputs + i;
      out[at] = scales[i / static_cast<std::size_t>(matrix.group_size)] *
                grid.number_of(matrix.bytes[at]);
    }
  }
}

}  // namespace quern
