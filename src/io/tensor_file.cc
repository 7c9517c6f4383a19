#include "io/tensor_file.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace quern {
namespace {

constexpr std::pair<std::string_view, std::int64_t> kElementBytes[] = {
    {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"F8_E8M0", 1},
    {"U16", 2},  {"I16", 2}, {"F16", 2}, {"BF16", 2},    {"U32", 4},     {"I32", 4},
    {"F32", 4},  {"U64", 8}, {"I64", 8}, {"F64", 8},     {"C64", 8},
};

}  // namespace

std::optional<std::int64_t> stored_element_bytes(std::string_view stored_type) {
  for (const auto& [type, bytes] : kElementBytes) {
    if (type == stored_type) return bytes;
  }
  return std::nullopt;
}

void CheckpointTensor::read(std::uint64_t first, std::span<std::byte> out) const {
  QUERN_CHECK(is_dense() && first <= size_bytes && out.size() <= size_bytes - first);
  file->read(offset + first, out);
}

std::vector<std::byte> CheckpointTensor::read_all() const {
  std::vector<std::byte> values(static_cast<std::size_t>(size_bytes));
  if (is_dense() || values.empty()) {
    read(0, values);
    return values;
  }
  const auto element_bytes = static_cast<std::size_t>(stored_element_bytes(stored_type).value());
  std::uint64_t span = 1;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    span += static_cast<std::uint64_t>((shape[i] - 1) * strides[i]);
  }
  std::vector<std::byte> stored(static_cast<std::size_t>(span) * element_bytes);
  file->read(offset, stored);

  std::vector<std::int64_t> index(shape.size(), 0);
  std::int64_t from = 0;
  for (std::size_t to = 0; to < values.size(); to += element_bytes) {
    std::memcpy(values.data() + to, stored.data() + from * static_cast<std::int64_t>(element_bytes),
                element_bytes);
    // The next element of the last axis, carrying over like an odometer.
    for (std::size_t axis = shape.size(); axis-- > 0;) {
      from += strides[axis];
      if (++index[axis] < shape[axis]) break;
      from -= strides[axis] * shape[axis];
      index[axis] = 0;
    }
  }
  return values;
}

}  // namespace quern
