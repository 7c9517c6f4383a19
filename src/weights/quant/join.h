#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "weights/quant/quantized_tensor.h"
#include "weights/quant/unpack.h"
#include "weights/source.h"
#include "weights/weight.h"

namespace quern {

/// The format that holds the parts, stacked by rows, exactly: the wider integers, scales for the
/// smaller blocks, zero points if one part has them, a scale for each input where the parts order
/// their inputs differently. Nothing for integers beside float8.
std::optional<WeightFormat> joined_format(std::span<const QuantizedTensor* const> parts);

/// Reads the components of a weight that is stacked from quantized tensors, in a format that
/// joined_format() gives. All reads are thread-safe.
class JoinedReader {
 public:
  /// Reads scales and zero points. The parts must outlive this. Errors: those of
  /// read_block_parameters().
  JoinedReader(std::span<const QuantizedTensor* const> parts, const WeightFormat& format);

  /// Reads rows of a component, as RowReader does.
  void read(WeightComponent component, std::int64_t first_row, std::int64_t num_rows,
            std::byte* out) const;
  /// All of its components, for a WeightSource.
  std::vector<ComponentSource> components() const;

  /// How many float8 values that were read so far are NaN.
  std::int64_t num_nan() const { return num_nan_; }

 private:
  struct Part {
    const QuantizedTensor* tensor;
    ValueReader values;
    BlockParameters blocks;
    std::int64_t first_row;
    std::vector<std::int32_t> stored_at;  ///< by input, where only the part is permuted
  };
  /// Where a block of the joined weight is in its part.
  struct PartBlock {
    const Part& part;
    std::int64_t row;  ///< row block
  };

  const Part& part_of(std::int64_t row) const;
  PartBlock block_of(std::int64_t row_block) const;
  std::size_t parameter_index(const PartBlock& block, std::int64_t group) const;
  void read_values(std::int64_t first_row, std::int64_t num_rows, std::byte* out) const;
  void store_values(const Part& part, std::span<std::uint8_t> values, std::byte* out) const;
  void read_scales(std::int64_t first_block, std::int64_t num_blocks, std::byte* out) const;
  void read_zero_points(std::int64_t first_block, std::int64_t num_blocks, std::byte* out) const;

  WeightFormat format_;
  std::int64_t inputs_ = 0;
  std::int64_t num_groups_ = 1;
  std::vector<Part> parts_;
  mutable std::atomic<std::int64_t> num_nan_ = 0;
};

/// Reads a quantized tensor as numbers.
class DequantizingReader {
 public:
  explicit DequantizingReader(const QuantizedTensor& tensor);

  /// Rows [first_row, first_row + num_rows), rounded to `dtype`. Thread-safe.
  void read(std::int64_t first_row, std::int64_t num_rows, DType dtype, std::byte* out) const;

 private:
  const QuantizedTensor* tensor_;
  JoinedReader reader_;
};

}  // namespace quern
