#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weights/source.h"

namespace quern {

/// The format to which a matrix of floats is quantized at load: `stored` is uint4 or uint8, with
/// float16 scales, or float8_e4m3, with float32 scales, of 128 inputs of a row; no zero points.
/// uint8 for inputs of int8 with a scale for each row has one for each row of the weight, so that
/// sums of integers are whole rows (W8A8), and so has float8_e4m3 for such inputs of float8_e4m3.
WeightFormat load_time_format(DType stored, std::int64_t in_features,
                              const ActivationFormat& activation = {});

/// Quantizes a matrix of float32 to a load_time_format(), to the nearest number, to even on a tie.
/// A group's scale is 2 · max|w| / (2^bits - 1) for integers, as GPTQ's quantizer chooses it, and
/// max|w| / 448 for float8, rounded to its dtype first. Cost: reads the floats twice, once for
/// values and once for scales.
class QuantizingReader {
 public:
  /// `floats` reads rows of float32. All must outlive the sources.
  QuantizingReader(RowReader floats, const WeightFormat& format, const WeightShape& shape,
                   std::string_view name);

  /// Its components, for a WeightSource. Errors of the readers: unsupported naming the weight for a
  /// number that is not finite or a scale that overflows.
  std::vector<ComponentSource> components() const;

 private:
  void read_values(std::int64_t first_row, std::int64_t num_rows, std::byte* out) const;
  void read_scales(std::int64_t first_row, std::int64_t num_rows, std::byte* out) const;
  std::vector<float> read_floats(std::int64_t first_row, std::int64_t num_rows) const;
  float scale_of(std::span<const float> group) const;
  void quantize_row(std::span<const float> row, std::byte* out) const;

  RowReader floats_;
  WeightFormat format_;
  std::int64_t inputs_;
  std::int64_t group_size_;
  std::string name_;
};

}  // namespace quern
