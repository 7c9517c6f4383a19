#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "weights/quant/quantized_tensor.h"

namespace quern {

/// The place of each number of a permutation.
std::vector<std::int32_t> inverse_permutation(std::span<const std::int32_t> order);

/// Reads the values of a quantized tensor, one byte each: integers without a sign, or float8 bits.
class ValueReader {
 public:
  /// Reads all packed words at once where they are packed along columns: rows of those are
  /// scattered over the file. Without `stored_order` inputs are in the op's order. `tensor` must
  /// outlive this.
  explicit ValueReader(const QuantizedTensor& tensor, bool stored_order = true);

  /// Rows [first_row, first_row + num_rows), dense. Thread-safe. Errors: bad_file when the file was
  /// cut short.
  void read(std::int64_t first_row, std::int64_t num_rows, std::uint8_t* out) const;

 private:
  void read_gptq(std::int64_t first_row, std::int64_t num_rows, std::uint8_t* out) const;
  void read_awq(std::int64_t first_row, std::int64_t num_rows, std::uint8_t* out) const;
  void read_rows(std::int64_t first_row, std::int64_t num_rows, std::uint8_t* out) const;
  std::uint32_t word(std::int64_t index) const;

  const QuantizedTensor& tensor_;
  std::vector<std::byte> words_;         ///< all of the tensor's values, or empty
  std::vector<std::int32_t> stored_at_;  ///< by input, where the inputs are permuted
};

/// Scales and zero points of a quantized tensor by the blocks of its format, [row blocks, groups].
struct BlockParameters {
  std::int64_t num_groups = 0;
  std::vector<float> scales;
  std::vector<std::uint8_t> zero_points;  ///< empty where the format is symmetric
};

/// Errors: bad_file naming file, tensor and place of a scale that is infinite or NaN.
BlockParameters read_block_parameters(const QuantizedTensor& tensor);

}  // namespace quern
