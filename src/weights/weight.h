#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/memory/tensor.h"

namespace quern {

/// How a weight's numbers are stored; a value, so that later formats (groups, scales) are rows in a
/// table.
struct WeightFormat {
  DType stored = DType::float32;  ///< float32, float16 or bfloat16
};

/// What an op does with a weight; a backend may lay each kind out differently.
enum class WeightUse : std::uint8_t {
  matrix,     ///< W in W·x
  embedding,  ///< rows looked up by id; a tied one is also the lm_head matrix
  vector,     ///< a gain or bias: always float32, one row
};

/// A weight in place, [out_features, in_features]; a vector has out_features 1.
struct Weight {
  Tensor values;
  WeightFormat format;
  std::int64_t out_features = 0;
  std::int64_t in_features = 0;
};

/// A weight that is yet to be read: [out_features, in_features] of `stored`.
struct WeightSource {
  WeightUse use = WeightUse::matrix;
  DType stored = DType::float32;
  std::int64_t out_features = 0;
  std::int64_t in_features = 0;
  /// Puts rows, dense, to `out`. Several threads may read at once.
  std::function<void(std::int64_t first_row, std::int64_t num_rows, std::byte* out)> read;

  std::size_t row_bytes() const;
};

/// The weight that a source becomes in plain layout: dense, at `destination` on `device`.
Weight dense_weight(const WeightSource& source, std::byte* destination, Device device);

/// Row `row` of a weight as float32. This function defines what a format means; kernels are held
/// against it. `out` has in_features elements.
void dequantize_row(const Weight& weight, std::int64_t row, std::span<float> out);

/// One tensor of a checkpoint that becomes (a band of rows of) a weight.
struct WeightPart {
  std::string name;                 ///< the checkpoint's tensor name
  std::vector<std::int64_t> shape;  ///< the shape it must have there
  bool transposed = false;          ///< stored [in_features, out_features], as GPT-2's Conv1D does
};

/// Declares a weight: which checkpoint tensors, stacked by rows, make it.
struct WeightSpec {
  std::string name;  ///< ours, as nodes show it: "layers.3.qkv"
  WeightUse use = WeightUse::matrix;
  std::int64_t out_features = 0;  ///< 1 for a vector
  std::int64_t in_features = 0;
  std::vector<WeightPart> parts;
};

}  // namespace quern
