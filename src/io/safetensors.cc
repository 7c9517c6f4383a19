#include "quern/safetensors.h"

#include <algorithm>
#include <string_view>
#include <tuple>
#include <utility>

#include "base/error.h"
#include "base/memory/shape.h"
#include "io/json.h"
#include "quern/files.h"

namespace quern {
namespace {

constexpr std::uint64_t kLengthBytes = 8;
constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;
constexpr std::size_t kMaxRank = 64;

/// Bytes per element of a dtype as the format spells it; sub-byte types are not supported here.
constexpr std::pair<std::string_view, std::int64_t> kElementBytes[] = {
    {"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E4M3", 1}, {"F8_E5M2", 1}, {"F8_E8M0", 1},
    {"U16", 2},  {"I16", 2}, {"F16", 2}, {"BF16", 2},    {"U32", 4},     {"I32", 4},
    {"F32", 4},  {"U64", 8}, {"I64", 8}, {"F64", 8},     {"C64", 8},
};

constexpr std::pair<std::string_view, DType> kDTypes[] = {
    {"F32", DType::float32}, {"F16", DType::float16}, {"BF16", DType::bfloat16},
    {"I32", DType::int32},   {"I64", DType::int64},   {"U8", DType::uint8},
};

template <typename Table>
auto find_type(const Table& table, std::string_view type) {
  return std::find_if(std::begin(table), std::end(table),
                      [&](const auto& row) { return row.first == type; });
}

/// A header entry and its data_offsets, in bytes from the end of the header.
struct PlacedEntry {
  SafetensorsEntry entry;
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

/// Parses one tensor's header entry; every error names file and tensor.
PlacedEntry read_entry(const std::string& file, const std::string& name, const Json& description) {
  const JsonObject object(description, file, name + '.');
  for (const auto& item : description.items()) {
    if (item.key() != "dtype" && item.key() != "shape" && item.key() != "data_offsets") {
      object.reject(item.key(), "only dtype, shape and data_offsets");
    }
  }
  PlacedEntry placed;
  placed.entry.name = name;
  placed.entry.stored_type = object.required_string("dtype");
  placed.entry.shape = object.required_integers("shape", 0, INT64_MAX);
  if (placed.entry.shape.size() > kMaxRank) {
    object.reject("shape", fmt::format("at most {} sizes", kMaxRank));
  }
  const auto offsets = object.required_integers("data_offsets", 0, INT64_MAX);
  if (offsets.size() != 2 || offsets[0] > offsets[1]) {
    object.reject("data_offsets", "a begin and an end that is not before it");
  }
  placed.begin = static_cast<std::uint64_t>(offsets[0]);
  placed.end = static_cast<std::uint64_t>(offsets[1]);
  return placed;
}

void check_size(const std::string& file, const PlacedEntry& placed) {
  const SafetensorsEntry& entry = placed.entry;
  const auto type = find_type(kElementBytes, entry.stored_type);
  if (type == std::end(kElementBytes)) {
    fail(ErrorCode::unsupported, "{}: tensor {}: unknown dtype {}", file, quoted_name(entry.name),
         quoted_name(entry.stored_type));
  }
  const auto numel = checked_numel(entry.shape);
  const auto size_bytes = numel ? checked_product(*numel, type->second) : std::nullopt;
  if (!size_bytes) {
    fail(ErrorCode::bad_file, "{}: tensor {}: the size of shape {} overflows", file,
         quoted_name(entry.name), shape_string(entry.shape));
  }
  if (static_cast<std::uint64_t>(*size_bytes) != placed.end - placed.begin) {
    fail(ErrorCode::bad_file,
         "{}: tensor {}: expected {} bytes for {} {}, got data_offsets [{}, {}]", file,
         quoted_name(entry.name), *size_bytes, entry.stored_type, shape_string(entry.shape),
         placed.begin, placed.end);
  }
}

/// Every byte of the data must belong to exactly one tensor.
void check_places(const std::string& file, std::vector<PlacedEntry>& entries,
                  std::uint64_t data_bytes) {
  std::sort(entries.begin(), entries.end(), [](const PlacedEntry& a, const PlacedEntry& b) {
    return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
  });
  std::uint64_t expected_begin = 0;
  for (const PlacedEntry& placed : entries) {
    if (placed.begin != expected_begin) {
      fail(ErrorCode::bad_file,
           "{}: tensor {}: expected its data at offset {}, got data_offsets [{}, {}]: {}", file,
           quoted_name(placed.entry.name), expected_begin, placed.begin, placed.end,
           placed.begin < expected_begin ? "tensors overlap" : "a hole before it");
    }
    expected_begin = placed.end;
  }
  if (expected_begin != data_bytes) {
    fail(ErrorCode::bad_file, "{}: expected {} bytes of tensor data, got {}{}", file,
         expected_begin, data_bytes, expected_begin > data_bytes ? ": the file is truncated" : "");
  }
}

void check_metadata(const JsonObject& header) {
  const auto metadata = header.object("__metadata__");
  if (!metadata) return;
  for (const auto& item : metadata->json().items()) {
    if (!item.value().is_string()) metadata->reject(item.key(), "a string");
  }
}

/// Splits the mapping into header and data; checks lengths only.
std::pair<std::string_view, std::span<const std::byte>> split(const MappedFile& file) {
  const std::string path = file.path().string();
  const std::span<const std::byte> bytes = file.bytes();
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  reject_lfs_pointer(text, file.path());
  if (bytes.size() < kLengthBytes) {
    fail(ErrorCode::bad_file, "{}: expected at least {} bytes of a safetensors file, got {}", path,
         kLengthBytes, bytes.size());
  }
  std::uint64_t header_bytes = 0;
  for (std::size_t i = 0; i < kLengthBytes; ++i) {
    header_bytes |= std::to_integer<std::uint64_t>(bytes[i]) << (8 * i);
  }
  if (header_bytes > kMaxHeaderBytes) {
    fail(ErrorCode::bad_file, "{}: expected a safetensors header of at most {} bytes, got {}", path,
         kMaxHeaderBytes, header_bytes);
  }
  if (header_bytes > bytes.size() - kLengthBytes) {
    fail(ErrorCode::bad_file, "{}: the header of {} bytes is longer than the file of {} bytes",
         path, header_bytes, bytes.size());
  }
  const auto data = bytes.subspan(kLengthBytes + header_bytes);
  return {text.substr(kLengthBytes, header_bytes), data};
}

}  // namespace

std::optional<DType> parse_safetensors_dtype(std::string_view stored_type) {
  const auto type = find_type(kDTypes, stored_type);
  if (type == std::end(kDTypes)) return std::nullopt;
  return type->second;
}

SafetensorsFile SafetensorsFile::open(const std::filesystem::path& path) {
  SafetensorsFile result;
  result.file_ = MappedFile::open(path);
  const auto [header_text, data] = split(result.file_);
  const std::string file = path.string();
  const Json header_json = parse_json(header_text, file);
  const JsonObject header(header_json, file);
  check_metadata(header);

  std::vector<PlacedEntry> placed;
  for (const auto& item : header_json.items()) {
    if (item.key() == "__metadata__") continue;
    placed.push_back(read_entry(file, item.key(), item.value()));
    check_size(file, placed.back());
  }
  check_places(file, placed, data.size());

  result.entries_.reserve(placed.size());
  for (PlacedEntry& each : placed) {
    each.entry.data = data.subspan(each.begin, each.end - each.begin);
    result.entries_.push_back(std::move(each.entry));
  }
  return result;
}

}  // namespace quern
