#pragma once

#include <cstdint>
#include <span>

#include "base/threads/thread_pool.h"
#include "quantize/rounding/grid.h"

namespace quern {

/// A matrix to be quantized: [rows, inputs] row-major.
struct MatrixToRound {
  std::span<const float> values;
  std::int64_t inputs = 0;
  Grid grid;
  DType scale_dtype = DType::float32;
  std::int64_t group_size = 0;  ///< divides `inputs`

  std::int64_t rows() const { return std::ssize(values) / inputs; }
  std::span<const float> row(std::int64_t index) const {
    return values.subspan(static_cast<std::size_t>(index * inputs),
                          static_cast<std::size_t>(inputs));
  }
};

/// Each number rounded to the nearest; scales by scale_of().
QuantizedRows round_to_nearest(const MatrixToRound& matrix, ThreadPool& pool);

/// Scales by best_scale() with the inputs' mean squares, then rounding with feedback: inputs are
/// rounded one after the other, those with the largest squares first, and the error so far is
/// compensated by the inputs that are still to come, so that Σ over inputs x of ‖W x₀ - Q x‖²
/// becomes small for the original model's inputs x₀ in place of x. Shapes: squares Σ x xᵀ
/// [inputs, inputs], as InputSquares has them, which are overwritten; drift Σ W (x₀ - x) xᵀ as the
/// matrix, of OutputDrift, or empty where x₀ is x.
/// Cost: inputs³ / 3 multiply-adds for the factorization, then rows · inputs² / 2, twice with
/// drift. Source: GPTQ (Frantar et al. 2022), in the form of LDLQ (Chee et al. 2023), which needs
/// no inverse: the same numbers come out; the original outputs as its aim as in GPTAQ (Li et al.
/// 2025).
QuantizedRows round_with_feedback(const MatrixToRound& matrix, std::span<float> squares,
                                  std::span<const float> drift, ThreadPool& pool);

/// Dequantizes all numbers to `out`, [rows, inputs].
void dequantize(const QuantizedRows& matrix, const Grid& grid, std::span<float> out);

}  // namespace quern
