#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "graph/op.h"
#include "tests/backend/conformance/expect_close.h"

namespace quern::testing {

// Reference implementation of graph/op.h's ops in double precision, rounding only where the
// contract does. Each also bounds the effect of float32 arithmetic in any order.

/// A matrix in double precision, row-major.
struct Matrix {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::vector<double> values;

  Matrix(std::int64_t num_rows, std::int64_t num_cols, const std::vector<float>& content)
      : rows(num_rows), cols(num_cols), values(content.begin(), content.end()) {}
  Matrix(std::int64_t num_rows, std::int64_t num_cols)
      : rows(num_rows), cols(num_cols), values(static_cast<std::size_t>(num_rows * num_cols)) {}

  double& at(std::int64_t row, std::int64_t col) {
    return values[static_cast<std::size_t>(row * cols + col)];
  }
  double at(std::int64_t row, std::int64_t col) const {
    return values[static_cast<std::size_t>(row * cols + col)];
  }
};

/// A number with a bound of its float32 error.
struct Bounded {
  double value = 0.0;
  double bound = 0.0;
  double slack = 0.0;  ///< the expected share of the inputs' roundings in the bound
};

/// activation(x).
Bounded reference_activation(Activation activation, Bounded x);

struct ReferenceNorm {
  NormKind kind = NormKind::rms;
  std::vector<float> gain;
  std::vector<float> bias;  ///< may be empty
  double epsilon = 0.0;
};

/// The normed rows, rounded to `dtype`. `slack` receives the possible float32 error per element:
/// near a rounding boundary a whole ulp.
Matrix reference_norm(const Matrix& rows, const ReferenceNorm& norm, DType dtype, Matrix& slack);

/// activation(in · Wᵀ + bias), or gated. `slack` as from reference_norm().
Expected reference_projection(const Matrix& in, const Matrix& slack, const Matrix& weight,
                              const std::vector<float>& bias, Activation activation, bool gated);

/// One head of q or k as Attention computes it, rounded to `dtype`. `slack`, if given, receives the
/// change of each element that float32 errors may cause.
std::vector<double> reference_head(const Attention& op, const std::vector<double>& head,
                                   const std::vector<float>& gain,
                                   const std::vector<float>& inv_freq, std::int32_t position,
                                   bool is_query, DType dtype,
                                   std::vector<double>* slack = nullptr);

/// One query over keys and values (its window only), with the contract's softmax. The result is not
/// rounded. nmse_slack has one number: the square of the change that `query_slack` may cause, not
/// yet divided by a row's. With `scaled_values` a weight may be rounded after it was multiplied by
/// its value's scale: it may differ from the one rounded before by an ulp, which is allowed for.
Expected reference_attention(const Attention& op, const std::vector<double>& query,
                             const std::vector<double>& query_slack,
                             const std::vector<std::vector<float>>& keys,
                             const std::vector<std::vector<float>>& values, DType dtype,
                             bool scaled_values = false);

}  // namespace quern::testing
