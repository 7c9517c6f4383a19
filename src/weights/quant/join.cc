#include "weights/quant/join.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <utility>

#include "base/check.h"
#include "base/half.h"
#include "base/memory/shape.h"

namespace quern {
namespace {

/// Rows that are unpacked at a time: whole cache lines of words that are packed along columns.
constexpr std::int64_t kJoinedRows = 64;
/// What makes a number of 4 bits one of 8 with the same distance from its zero point.
constexpr int kWidening = 128 - 8;

/// The block size that divides both; 0 stands for one block.
std::int64_t common_block(std::int64_t a, std::int64_t b) {
  if (a == 0 || b == 0) return std::max(a, b);
  return std::gcd(a, b);
}

}  // namespace

std::optional<WeightFormat> joined_format(std::span<const QuantizedTensor* const> parts) {
  WeightFormat joined = parts.front()->format;
  std::int64_t rows = parts.front()->shape.out_features;
  if (joined.group_rows == 0 && parts.size() > 1) joined.group_rows = rows;
  for (const QuantizedTensor* part : parts.subspan(1)) {
    const WeightFormat& format = part->format;
    const bool is_float = format.stored == DType::float8_e4m3;
    if (is_float != (joined.stored == DType::float8_e4m3)) return std::nullopt;
    if (format.stored == DType::uint8) joined.stored = DType::uint8;
    if (format.scale_dtype != joined.scale_dtype) joined.scale_dtype = DType::float32;
    joined.has_zero_points |= format.has_zero_points;
    joined.group_size = common_block(joined.group_size, format.group_size);
    if (part->input_permutation != parts.front()->input_permutation) {
      joined.group_size = 1;
      joined.permuted_inputs = false;
    }
    const std::int64_t own_rows =
        format.group_rows == 0 ? part->shape.out_features : format.group_rows;
    joined.group_rows = std::gcd(joined.group_rows, std::gcd(own_rows, rows));
    rows += part->shape.out_features;
  }
  return joined;
}

JoinedReader::JoinedReader(std::span<const QuantizedTensor* const> parts,
                           const WeightFormat& format)
    : format_(format), inputs_(parts.front()->shape.in_features) {
  num_groups_ = format.group_size == 0 ? 1 : ceil_div(inputs_, format.group_size);
  parts_.reserve(parts.size());
  std::int64_t row = 0;
  for (const QuantizedTensor* tensor : parts) {
    const bool keeps_order = format.permuted_inputs || !tensor->format.permuted_inputs;
    Part part{tensor, ValueReader(*tensor, keeps_order), read_block_parameters(*tensor), row, {}};
    if (!keeps_order) part.stored_at = inverse_permutation(tensor->input_permutation);
    parts_.push_back(std::move(part));
    row += tensor->shape.out_features;
  }
}

const JoinedReader::Part& JoinedReader::part_of(std::int64_t row) const {
  const auto after = std::upper_bound(
      parts_.begin(), parts_.end(), row,
      [](std::int64_t wanted, const Part& part) { return wanted < part.first_row; });
  return *std::prev(after);
}

JoinedReader::PartBlock JoinedReader::block_of(std::int64_t row_block) const {
  const std::int64_t row = row_block * format_.group_rows;
  const Part& part = part_of(row);
  const std::int64_t own_rows = part.tensor->format.group_rows;
  return {part, own_rows == 0 ? 0 : (row - part.first_row) / own_rows};
}

std::size_t JoinedReader::parameter_index(const PartBlock& block, std::int64_t group) const {
  const std::int64_t own_size = block.part.tensor->format.group_size;
  std::int64_t input = group * format_.group_size;
  if (!block.part.stored_at.empty()) {
    input = block.part.stored_at[static_cast<std::size_t>(input)];
  }
  const std::int64_t own_group = own_size == 0 ? 0 : input / own_size;
  return static_cast<std::size_t>(block.row * block.part.blocks.num_groups + own_group);
}

void JoinedReader::read(WeightComponent component, std::int64_t first_row, std::int64_t num_rows,
                        std::byte* out) const {
  switch (component) {
    case WeightComponent::values:
      return read_values(first_row, num_rows, out);
    case WeightComponent::scales:
      return read_scales(first_row, num_rows, out);
    case WeightComponent::zero_points:
      return read_zero_points(first_row, num_rows, out);
    case WeightComponent::input_permutation: {
      const std::vector<std::int32_t>& order = parts_.front().tensor->input_permutation;
      if (num_rows > 0) std::memcpy(out, order.data(), order.size() * sizeof(std::int32_t));
      return;
    }
  }
}

std::vector<ComponentSource> JoinedReader::components() const {
  std::vector<ComponentSource> sources;
  for (const ComponentPlace& place : component_places(format_, {1, inputs_})) {
    sources.push_back(
        {place.component, [this, component = place.component](
                              std::int64_t first_row, std::int64_t num_rows, std::byte* out) {
           read(component, first_row, num_rows, out);
         }});
  }
  return sources;
}

void JoinedReader::read_values(std::int64_t first_row, std::int64_t num_rows,
                               std::byte* out) const {
  const std::int64_t row_bytes =
      format_.stored == DType::uint4 ? ceil_div(inputs_, std::int64_t{2}) : inputs_;
  std::vector<std::uint8_t> block(
      static_cast<std::size_t>(std::min(kJoinedRows, num_rows) * inputs_));
  for (std::int64_t row = first_row; row < first_row + num_rows;) {
    const Part& part = part_of(row);
    const std::int64_t part_row = row - part.first_row;
    const std::int64_t count = std::min(
        {kJoinedRows, first_row + num_rows - row, part.tensor->shape.out_features - part_row});
    part.values.read(part_row, count, block.data());
    for (std::int64_t i = 0; i < count; ++i) {
      const auto begin = static_cast<std::size_t>(i * inputs_);
      store_values(part, std::span(block).subspan(begin, static_cast<std::size_t>(inputs_)),
                   out + (row - first_row + i) * row_bytes);
    }
    row += count;
  }
}

void JoinedReader::store_values(const Part& part, std::span<std::uint8_t> values,
                                std::byte* out) const {
  auto* bytes = reinterpret_cast<std::uint8_t*>(out);
  if (format_.stored == DType::uint4) {
    const std::size_t pairs = values.size() / 2;
    for (std::size_t i = 0; i < pairs; ++i) {
      bytes[i] = static_cast<std::uint8_t>(values[2 * i] | values[2 * i + 1] << 4);
    }
    if (values.size() % 2 != 0) bytes[pairs] = values.back();
    return;
  }
  if (format_.stored == DType::float8_e4m3) {
    num_nan_ += std::ranges::count_if(values, [](int bits) { return (bits & 0x7f) == 0x7f; });
  }
  const bool widens = part.tensor->format.stored != format_.stored;
  const int added = widens ? kWidening : 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    bytes[i] = static_cast<std::uint8_t>(values[i] + added);
  }
}

void JoinedReader::read_scales(std::int64_t first_block, std::int64_t num_blocks,
                               std::byte* out) const {
  const DType dtype = format_.scale_dtype.value();
  std::vector<float> row(static_cast<std::size_t>(num_groups_));
  for (std::int64_t i = 0; i < num_blocks; ++i) {
    const PartBlock block = block_of(first_block + i);
    for (std::int64_t group = 0; group < num_groups_; ++group) {
      row[static_cast<std::size_t>(group)] =
          block.part.blocks.scales[parameter_index(block, group)];
    }
    store_floats(dtype, row, out + i * num_groups_ * static_cast<std::int64_t>(dtype_bytes(dtype)));
  }
}

void JoinedReader::read_zero_points(std::int64_t first_block, std::int64_t num_blocks,
                                    std::byte* out) const {
  for (std::int64_t i = 0; i < num_blocks; ++i) {
    const PartBlock block = block_of(first_block + i);
    const DType stored = block.part.tensor->format.stored;
    const int added = stored == format_.stored ? 0 : kWidening;
    for (std::int64_t group = 0; group < num_groups_; ++group) {
      const auto& zero_points = block.part.blocks.zero_points;
      const int own = zero_points.empty() ? symmetric_zero_point(stored)
                                          : zero_points[parameter_index(block, group)];
      out[i * num_groups_ + group] = static_cast<std::byte>(own + added);
    }
  }
}

DequantizingReader::DequantizingReader(const QuantizedTensor& tensor)
    : tensor_(&tensor), reader_({&tensor_, 1}, tensor.format) {}

void DequantizingReader::read(std::int64_t first_row, std::int64_t num_rows, DType dtype,
                              std::byte* out) const {
  const WeightFormat& format = tensor_->format;
  const WeightShape row_shape = {1, tensor_->shape.in_features};
  WeightFormat row_format = format;
  row_format.group_rows = 1;
  std::vector<std::byte> bytes(storage_bytes(row_format, row_shape));
  const Weight weight = row_major_weight(row_format, row_shape, bytes.data(), Device{});
  std::vector<float> numbers(static_cast<std::size_t>(row_shape.in_features));
  for (std::int64_t i = 0; i < num_rows; ++i) {
    const std::int64_t row = first_row + i;
    for (const ComponentPlace& place : component_places(row_format, row_shape)) {
      std::int64_t from = place.component == WeightComponent::values ? row : 0;
      const bool is_of_block = place.component == WeightComponent::scales ||
                               place.component == WeightComponent::zero_points;
      if (is_of_block && format.group_rows > 0) from = row / format.group_rows;
      reader_.read(place.component, from, 1, bytes.data() + place.offset);
    }
    dequantize_row(weight, 0, numbers);
    store_floats(dtype, numbers,
                 out + i * row_shape.in_features * static_cast<std::int64_t>(dtype_bytes(dtype)));
  }
}

}  // namespace quern
