#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/dtype.h"
#include "graph/kv_format.h"
#include "graph/op.h"
#include "weights/format.h"

namespace quern {

// How far two correct implementations of an op may differ for equal inputs: both sum in float32 in
// any order and round where graph/op.h says. All arrays are in host memory, the dtype is the
// activation's. See docs/adr/0003-rounding-is-contract.md.

/// Rows of `cols` numbers, dense.
struct HostRows {
  std::vector<float> values;
  std::int64_t cols = 0;

  std::int64_t rows() const { return std::ssize(values) / cols; }
  std::span<const float> row(std::int64_t index) const {
    return std::span(values).subspan(static_cast<std::size_t>(index * cols),
                                     static_cast<std::size_t>(cols));
  }
};

struct ErrorBounds {
  std::vector<float> elements;     ///< see ComparedRows::bounds
  std::vector<double> nmse_slack;  ///< see ComparedRows::nmse_slack
  /// Elements whose scores are so uncertain that the softmax may move half of its weight: their
  /// bound is only the range of the values they average.
  std::int64_t num_loose = 0;
};

/// The Euclidean length of a row.
double row_length(std::span<const float> row);

// Of float8 products that tensor cores sum, 128 at a time (docs/adr/0024): each of the addends, 160
// with the partial sums among them, loses less than 2^-13 of the largest.

inline constexpr double kFloat8Stage = 128.0;                        ///< products
inline constexpr double kFloat8Addends = 160.0;                      ///< of a stage
inline constexpr double kFloat8SumError = kFloat8Addends * 0x1p-13;  ///< of ‖x‖ ‖w‖, at most
/// Of Σ x² w²: the expected square, if signs are independent.
inline constexpr double kFloat8SumVariance = kFloat8Addends / 3.0 * 0x1p-26;
/// The expected square of what is lost where signs are not independent, of a row's outputs:
/// `products` is Σ x² w², `outputs` their own square.
double float8_sum_bias_square(double products, double outputs, std::int64_t num_inputs);

/// Row norms of a matrix, and squared column norms.
struct MatrixLengths {
  std::vector<double> rows;
  std::vector<double> col_squares;
  /// The relative error that a side may give to each number: of a quantized weight, which it may
  /// round to the activation dtype.
  double rounding = 0.0;
  /// Whether a side may sum the products as float8 ones, see kFloat8SumError.
  bool sums_float8 = false;
  ActivationFormat inputs = {};  ///< what the weight's format rounds inputs to

  void add_rows(const HostRows& added);
};

/// Bounds of a Linear: inputs x, its weight and its outputs. K ε ‖x‖ ‖w‖ for sums of K products,
/// and u ‖x‖ ‖w‖ for weights that are rounded with a relative error of up to u. A row's NMSE slack
/// allows for such roundings: independent, uniform up to u. Sums of float8 products add their own.
/// Where the format rounds inputs, x is rounded: both sides round the same numbers alike.
ErrorBounds linear_bounds(const HostRows& in, const MatrixLengths& weight, const HostRows& out);

/// Inputs of NormLinear's bounds, apart from the op.
struct NormLinearInputs {
  const HostRows& sum;               ///< residual + delta, the rows that are normed
  std::span<const float> gain;       ///< [in]
  std::span<const float> norm_bias;  ///< [in] or empty
  const MatrixLengths& weight;
  const HostRows& linear;  ///< W · n + bias, [rows, rows of the weight]
  DType dtype = DType::float32;
};

/// Bounds of a NormLinear's `out`: those of its GEMM, plus the effect of normed numbers near a
/// rounding boundary, times the activation's slope. Where the format rounds inputs, its boundaries
/// count as well, see round_inputs().
ErrorBounds norm_linear_bounds(const NormLinear& op, const NormLinearInputs& inputs);

/// A sequence of a step: its token rows, and its slots after the append.
struct BoundedSequence {
  std::int64_t first_row = 0;
  int q_len = 0;
  HostRows keys, values;             ///< [kv_len, num_kv_heads * head_dim]
  std::vector<float> inv_freq = {};  ///< rope's frequencies; empty without rope
};

/// Inputs of Attention's bounds, apart from the op.
struct AttentionInputs {
  const HostRows& qkv;
  std::span<const float> q_gain, k_gain;  ///< [head_dim] or empty
  std::span<const BoundedSequence> sequences;
  const HostRows& out;  ///< [tokens, num_heads * head_dim]
  DType dtype = DType::float32;
  KvFormat kv_format = {};  ///< scaled keys and values are bounded as such
};

/// Bounds of an Attention's `out`. Two sides' scores differ by at most E (summation order; elements
/// of q and k near a rounding boundary), so their softmaxes by at most tanh(E / 2) in total
/// variation, and an element by that share of the range of the values it averages, plus the
/// rounding of the weights. Where keys are stored with scales, a new key's number near a rounding
/// boundary of the stored type may differ by a step of it (scaled_key_bounds()), which enters E;
/// values are stored alike, being quantized from equal inputs by exactly defined arithmetic. A
/// row's NMSE slack allows for that, for scales that enter a weight before it is rounded, and for
/// one head's largest weight rounded differently.
ErrorBounds attention_bounds(const Attention& op, const AttentionInputs& inputs);

/// Bounds of the keys that an Attention appended: errors of float32 sines and cosines.
ErrorBounds appended_key_bounds(const Attention& op, const HostRows& keys);

/// The same for keys that are stored with scales; `out` of the inputs is these keys. An element's
/// bound is the range of number · scale over what the errors of the float32 sines, cosines and the
/// quantization's own arithmetic allow for the element and for the vector's largest: 0 for most
/// elements, about a step of the numbers near a rounding boundary. A row's NMSE slack allows for
/// all of these steps.
ErrorBounds scaled_key_bounds(const Attention& op, const AttentionInputs& inputs);

}  // namespace quern
