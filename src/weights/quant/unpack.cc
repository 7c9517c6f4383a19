#include "weights/quant/unpack.h"

#include <array>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "base/half.h"
#include "base/memory/shape.h"
#include "quern/safetensors.h"
#include "quern/text.h"

namespace quern {
namespace {

/// The column that number i of an AWQ word is. Source: AutoAWQ's AWQ_ORDER.
constexpr std::array<int, 8> kAwqOrder = {0, 2, 4, 6, 1, 3, 5, 7};

std::uint32_t load_word(const std::vector<std::byte>& bytes, std::int64_t index) {
  std::uint32_t word = 0;
  std::memcpy(&word, bytes.data() + 4 * index, 4);
  return word;
}

}  // namespace

std::vector<std::int32_t> inverse_permutation(std::span<const std::int32_t> order) {
  std::vector<std::int32_t> places(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    places[static_cast<std::size_t>(order[i])] = static_cast<std::int32_t>(i);
  }
  return places;
}

ValueReader::ValueReader(const QuantizedTensor& tensor, bool stored_order) : tensor_(tensor) {
  const QuantLayout layout = tensor.scheme.layout;
  if (layout == QuantLayout::gptq || layout == QuantLayout::awq || !tensor.values.is_dense()) {
    words_ = tensor.values.read_all();
  }
  if (stored_order) stored_at_ = inverse_permutation(tensor.input_permutation);
}

std::uint32_t ValueReader::word(std::int64_t index) const { return load_word(words_, index); }

void ValueReader::read(std::int64_t first_row, std::int64_t num_rows, std::uint8_t* out) const {
  switch (tensor_.scheme.layout) {
    case QuantLayout::gptq:
      return read_gptq(first_row, num_rows, out);
    case QuantLayout::awq:
      return read_awq(first_row, num_rows, out);
    case QuantLayout::packed_rows:
    case QuantLayout::elements:
      return read_rows(first_row, num_rows, out);
  }
}

void ValueReader::read_gptq(std::int64_t first_row, std::int64_t num_rows,
                            std::uint8_t* out) const {
  const std::int64_t rows = tensor_.shape.out_features;
  const std::int64_t inputs = tensor_.shape.in_features;
  const int bits = tensor_.scheme.bits;
  const std::uint32_t mask = (1u << bits) - 1;
  const std::int64_t in_word = 32 / bits;
  for (std::int64_t index = 0; index < inputs / in_word; ++index) {
    for (std::int64_t row = 0; row < num_rows; ++row) {
      std::uint32_t packed = word(index * rows + first_row + row);
      std::uint8_t* to = out + row * inputs;
      for (std::int64_t input = index * in_word; input < (index + 1) * in_word; ++input) {
        const std::int64_t at =
            stored_at_.empty() ? input : stored_at_[static_cast<std::size_t>(input)];
        to[at] = static_cast<std::uint8_t>(packed & mask);
        packed >>= bits;
      }
    }
  }
}

void ValueReader::read_awq(std::int64_t first_row, std::int64_t num_rows, std::uint8_t* out) const {
  const std::int64_t row_words = tensor_.shape.out_features / 8;
  const std::int64_t inputs = tensor_.shape.in_features;
  const std::int64_t end_row = first_row + num_rows;
  for (std::int64_t input = 0; input < inputs; ++input) {
    for (std::int64_t column = first_row / 8; column * 8 < end_row; ++column) {
      const std::uint32_t packed = word(input * row_words + column);
      for (int i = 0; i < 8; ++i) {
        const std::int64_t row = column * 8 + kAwqOrder[static_cast<std::size_t>(i)];
        if (row < first_row || row >= end_row) continue;
        out[(row - first_row) * inputs + input] =
            static_cast<std::uint8_t>(packed >> (4 * i) & 15u);
      }
    }
  }
}

void ValueReader::read_rows(std::int64_t first_row, std::int64_t num_rows,
                            std::uint8_t* out) const {
  const std::int64_t inputs = tensor_.shape.in_features;
  const bool is_packed = tensor_.scheme.layout == QuantLayout::packed_rows;
  const std::int64_t in_byte = is_packed ? 8 / tensor_.scheme.bits : 1;
  const std::int64_t row_bytes = is_packed ? 4 * ceil_div(inputs, 4 * in_byte) : inputs;
  std::vector<std::byte> block(static_cast<std::size_t>(num_rows * row_bytes));
  const std::int64_t begin = first_row * row_bytes;
  if (words_.empty()) {
    tensor_.values.read(static_cast<std::uint64_t>(begin), block);
  } else {
    std::memcpy(block.data(), words_.data() + begin, block.size());
  }
  // int8 is stored with a sign, which becomes the offset of unsigned numbers.
  const unsigned sign = !is_packed && !tensor_.scheme.is_float ? 0x80u : 0u;
  for (std::int64_t row = 0; row < num_rows; ++row) {
    const std::byte* from = block.data() + row * row_bytes;
    std::uint8_t* to = out + row * inputs;
    for (std::int64_t input = 0; input < inputs; ++input) {
      const auto byte = std::to_integer<unsigned>(from[input / in_byte]);
      const unsigned value = in_byte == 2 ? byte >> (input % 2 * 4) & 15u : byte ^ sign;
      const std::int64_t at =
          stored_at_.empty() ? input : stored_at_[static_cast<std::size_t>(input)];
      to[at] = static_cast<std::uint8_t>(value);
    }
  }
}

namespace {

/// Scales and zero points as the checkpoint stores them: along rows and groups.
class ParameterReader {
 public:
  explicit ParameterReader(const QuantizedTensor& tensor)
      : tensor_(tensor),
        by_group_(tensor.scheme.layout == QuantLayout::gptq ||
                  tensor.scheme.layout == QuantLayout::awq),
        rows_(tensor.format.group_rows == 0
                  ? 1
                  : ceil_div(tensor.shape.out_features, tensor.format.group_rows)) {
    const std::vector<std::byte> bytes = tensor.scales.read_all();
    scales_.resize(static_cast<std::size_t>(rows_ * tensor.num_groups));
    load_floats(parse_safetensors_dtype(tensor.scales.stored_type).value(), bytes.data(), scales_);
    for (std::size_t i = 0; i < scales_.size(); ++i) {
      if (std::isfinite(scales_[i])) continue;
      fail(ErrorCode::bad_file, "{}: tensor {}: expected finite scales, got {} as number {} of {}",
           tensor.scales.file_name(), quoted_name(tensor.scales_name), scales_[i], i,
           scales_.size());
    }
    if (tensor.zero_points) zero_points_ = tensor.zero_points->read_all();
  }

  BlockParameters read() const {
    BlockParameters blocks;
    const bool by_input = !tensor_.input_groups.empty();
    blocks.num_groups = by_input ? tensor_.shape.in_features : tensor_.num_groups;
    const auto size = static_cast<std::size_t>(rows_ * blocks.num_groups);
    blocks.scales.resize(size);
    if (tensor_.zero_points) blocks.zero_points.resize(size);
    std::size_t at = 0;
    for (std::int64_t row = 0; row < rows_; ++row) {
      for (std::int64_t i = 0; i < blocks.num_groups; ++i, ++at) {
        const std::int64_t group = by_input ? tensor_.input_groups[static_cast<std::size_t>(i)] : i;
        const std::int64_t stored =
            by_group_ ? group * rows_ + row : row * tensor_.num_groups + group;
        blocks.scales[at] = scales_[static_cast<std::size_t>(stored)];
        if (tensor_.zero_points) blocks.zero_points[at] = zero_point(row, group);
      }
    }
    return blocks;
  }

 private:
  std::uint8_t zero_point(std::int64_t row, std::int64_t group) const {
    const int bits = tensor_.scheme.bits;
    const std::uint32_t mask = (1u << bits) - 1;
    const std::int64_t in_word = 32 / bits;
    switch (tensor_.scheme.layout) {
      case QuantLayout::gptq: {
        const std::uint32_t packed =
            load_word(zero_points_, group * (rows_ / in_word) + row / in_word);
        const std::uint32_t stored = packed >> (row % in_word * bits);
        // The sum wraps within the field: what the quantizer meant by the largest number is 0.
        return static_cast<std::uint8_t>((stored + (tensor_.scheme.zeros_minus_one ? 1 : 0)) &
                                         mask);
      }
      case QuantLayout::awq: {
        // kAwqOrder's inverse: number (i % 2) * 4 + i / 2 of a word is column i.
        const std::int64_t column = row % 8;
        const std::uint32_t packed = load_word(zero_points_, group * (rows_ / 8) + row / 8);
        return static_cast<std::uint8_t>(packed >> ((column % 2 * 4 + column / 2) * 4) & mask);
      }
      case QuantLayout::packed_rows:
        if (tensor_.zero_points->stored_type == "I32") {
          const std::uint32_t packed =
              load_word(zero_points_, row / in_word * tensor_.num_groups + group);
          return static_cast<std::uint8_t>(packed >> (row % in_word * bits) & mask);
        }
        break;
      case QuantLayout::elements:
        break;
    }
    // int8, with a sign.
    const auto at = static_cast<std::size_t>(row * tensor_.num_groups + group);
    const auto stored = static_cast<std::int8_t>(zero_points_[at]);
    return static_cast<std::uint8_t>((stored + (1 << (bits - 1))) & static_cast<int>(mask));
  }

  const QuantizedTensor& tensor_;
  bool by_group_;      ///< stored [groups, rows]
  std::int64_t rows_;  ///< row blocks
  std::vector<float> scales_;
  std::vector<std::byte> zero_points_;
};

}  // namespace

BlockParameters read_block_parameters(const QuantizedTensor& tensor) {
  return ParameterReader(tensor).read();
}

}  // namespace quern
