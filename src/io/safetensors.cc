#include "quern/safetensors.h"

#include <algorithm>
#include <iterator>
#include <string_view>
#include <tuple>
#include <utility>

#include "base/error.h"
#include "base/memory/shape.h"
#include "io/json/json.h"
#include "io/tensor_file.h"
#include "quern/files.h"

namespace quern {
namespace {

constexpr std::uint64_t kLengthBytes = 8;
constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;
constexpr std::size_t kMaxRank = 64;
constexpr std::size_t kMaxTensors = 1'000'000;

constexpr std::pair<std::string_view, DType> kDTypes[] = {
    {"F32", DType::float32},         {"F16", DType::float16}, {"BF16", DType::bfloat16},
    {"I32", DType::int32},           {"I64", DType::int64},   {"U8", DType::uint8},
    {"F8_E4M3", DType::float8_e4m3},
};

/// An entry of the header together with where its data should lie, in bytes from the end of the
/// header.
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
  const auto element_bytes = stored_element_bytes(entry.stored_type);
  if (!element_bytes) {
    fail(ErrorCode::unsupported, "{}: tensor {}: unknown dtype {}", file, quoted_name(entry.name),
         quoted_name(entry.stored_type));
  }
  const auto numel = checked_numel(entry.shape);
  const auto size_bytes = numel ? checked_product(*numel, *element_bytes) : std::nullopt;
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

/// The header's text, with only lengths checked; `data_begin` is where the data starts.
std::string read_header(const OpenFile& file, std::uint64_t& data_begin) {
  constexpr std::uint64_t kMaxPointerBytes = 100;  // enough to tell a git-LFS pointer
  const std::string path = file.path().string();
  const std::string start =
      file.read_text(0, static_cast<std::size_t>(std::min(file.size_bytes(), kMaxPointerBytes)));
  reject_lfs_pointer(start, file.path());
  if (start.size() < kLengthBytes) {
    fail(ErrorCode::bad_file, "{}: expected at least {} bytes of a safetensors file, got {}", path,
         kLengthBytes, start.size());
  }
  std::uint64_t header_bytes = 0;
  for (std::size_t i = 0; i < kLengthBytes; ++i) {
    header_bytes |= std::uint64_t{static_cast<unsigned char>(start[i])} << (8 * i);
  }
  if (header_bytes > kMaxHeaderBytes) {
    fail(ErrorCode::bad_file, "{}: expected a safetensors header of at most {} bytes, got {}", path,
         kMaxHeaderBytes, header_bytes);
  }
  if (header_bytes > file.size_bytes() - kLengthBytes) {
    fail(ErrorCode::bad_file, "{}: the header of {} bytes is longer than the file of {} bytes",
         path, header_bytes, file.size_bytes());
  }
  data_begin = kLengthBytes + header_bytes;
  return file.read_text(kLengthBytes, static_cast<std::size_t>(header_bytes));
}

/// The header's entries. Each is taken out of the document as soon as it was read, so that memory
/// stays a small multiple of the header.
std::vector<PlacedEntry> parse_header(const std::string& text, const std::string& file) {
  std::vector<PlacedEntry> entries;
  std::string name;
  const Json rest = parse_json(text, file, [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth != 1) return true;
    if (event == Json::parse_event_t::key) name = parsed.get_ref<const std::string&>();
    if (event != Json::parse_event_t::object_end || name == "__metadata__") return true;
    PlacedEntry placed = read_entry(file, name, parsed);
    check_size(file, placed);
    if (entries.size() == kMaxTensors) {
      fail(ErrorCode::bad_file, "{}: expected at most {} tensors", file, kMaxTensors);
    }
    entries.push_back(std::move(placed));
    return false;
  });
  const JsonObject header(rest, file);
  check_metadata(header);
  for (const auto& item : rest.items()) {
    if (item.key() != "__metadata__") header.reject(item.key(), "an object");
  }
  // Of names given twice the last one counts.
  std::stable_sort(entries.begin(), entries.end(), [](const PlacedEntry& a, const PlacedEntry& b) {
    return a.entry.name < b.entry.name;
  });
  const auto kept = std::unique(entries.rbegin(), entries.rend(), [](const auto& a, const auto& b) {
    return a.entry.name == b.entry.name;
  });
  entries.erase(entries.begin(), kept.base());
  return entries;
}

}  // namespace

std::optional<DType> parse_safetensors_dtype(std::string_view stored_type) {
  for (const auto& [name, dtype] : kDTypes) {
    if (name == stored_type) return dtype;
  }
  return std::nullopt;
}

SafetensorsFile SafetensorsFile::open(const std::filesystem::path& path) {
  SafetensorsFile result;
  result.file_ = std::make_shared<const OpenFile>(path);
  std::uint64_t data_begin = 0;
  const std::string header = read_header(*result.file_, data_begin);
  std::vector<PlacedEntry> placed = parse_header(header, path.string());
  check_places(path.string(), placed, result.file_->size_bytes() - data_begin);

  result.entries_.reserve(placed.size());
  for (PlacedEntry& each : placed) {
    each.entry.offset = data_begin + each.begin;
    each.entry.size_bytes = each.end - each.begin;
    result.entries_.push_back(std::move(each.entry));
  }
  return result;
}

void SafetensorsFile::read(const SafetensorsEntry& entry, std::uint64_t first,
                           std::span<std::byte> out) const {
  if (first > entry.size_bytes || out.size() > entry.size_bytes - first) {
    fail(ErrorCode::invalid_argument, "{}: tensor {}: expected bytes within its {}, got [{}, {})",
         path().string(), quoted_name(entry.name), entry.size_bytes, first, first + out.size());
  }
  file_->read(entry.offset + first, out);
}

std::vector<std::byte> SafetensorsFile::read(const SafetensorsEntry& entry) const {
  std::vector<std::byte> bytes(static_cast<std::size_t>(entry.size_bytes));
  read(entry, 0, bytes);
  return bytes;
}

}  // namespace quern
