#pragma once

#include <cstdint>
#include <span>

#include "backend/workspace.h"
#include "base/memory/tensor.h"
#include "base/threads/thread_pool.h"
#include "weights/weight.h"

namespace quern::cpu {

/// The rows of a GEMM's input, rounded as its weight's ActivationFormat says: integers, where the
/// product is one of integers, else float32 numbers.
struct RoundedInput {
  std::int64_t rows = 0;
  std::int64_t in_features = 0;

  /// [rows, in_features], in the order in which the kernels read a weight of this format: permuted
  /// as its inputs are, and for uint4 the even inputs
  /// of each block of kIntegerBlock before the odd ones.
  std::int8_t* integers = nullptr;
  /// [rows, num_scales()]: of a row or of each block.
  float* scales = nullptr;
  /// [rows, num_groups]: what zero points are multiplied by: the sum of the integers of one of the
  /// weight's groups or, with a scale for each block, of scale · integer.
  double* group_sums = nullptr;
  std::int64_t num_groups = 0;
  bool scale_per_block = false;

  float* floats = nullptr;  ///< [rows, in_features], if there are no integers

  std::int64_t num_blocks() const { return in_features / kIntegerBlock; }
  std::int64_t num_scales() const { return scale_per_block ? num_blocks() : 1; }
  RoundedInput row_slice(std::int64_t first, std::int64_t count) const;
};

/// Takes the memory for `rows` rows, none where the format does not round inputs.
RoundedInput take_rounded_input(Workspace& workspace, std::int64_t rows, std::int64_t in_features,
                                const WeightFormat& format);

/// Rounds the rows of `in`, [rows, in_features] float32. Rows with a number that is not finite
/// become NaN.
void round_input(const Tensor& in, const Weight& weight, const RoundedInput& out, ThreadPool& pool);

/// Rounds a group of numbers to int8 with one scale, which it returns: max|x| / 127, or NaN if a
/// number is not finite. Integers are rounded half to even.
float round_to_int8(std::span<const float> in, std::int8_t* out);

}  // namespace quern::cpu
