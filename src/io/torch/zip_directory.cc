#include "io/torch/zip_directory.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "quern/text.h"

namespace quern {
namespace {

constexpr std::uint64_t kMaxDirectoryBytes = std::uint64_t{16} << 20;
constexpr std::uint64_t kUnknown32 = 0xffffffff;  // the number is in the zip64 record
constexpr std::uint64_t kUnknown16 = 0xffff;

/// The little-endian number of `size` bytes at `offset`, which must be there.
std::uint64_t number_at(std::string_view bytes, std::size_t offset, std::size_t size) {
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < size; ++i) {
    number |= std::uint64_t{static_cast<unsigned char>(bytes.at(offset + i))} << (8 * i);
  }
  return number;
}

bool is_safe_name(std::string_view name) {
  if (name.empty() || name.front() == '/') return false;
  if (name.find('\\') != name.npos || name.find('\0') != name.npos) return false;
  while (true) {
    const std::string_view part = name.substr(0, name.find('/'));
    if (part == "..") return false;
    if (part.size() == name.size()) return true;
    name.remove_prefix(part.size() + 1);
  }
}

/// What a zip64 extra field gives in place of the numbers that are unknown, in order.
class Zip64Field {
 public:
  /// `extra`: all extra fields of an entry.
  explicit Zip64Field(std::string_view extra) {
    constexpr std::uint64_t kZip64Id = 1;
    while (extra.size() >= 4) {
      const std::uint64_t id = number_at(extra, 0, 2);
      const std::uint64_t size = number_at(extra, 2, 2);
      if (size > extra.size() - 4) return;
      if (id == kZip64Id) field_ = extra.substr(4, size);
      extra.remove_prefix(4 + size);
    }
  }

  std::optional<std::uint64_t> resolve(std::uint64_t number) {
    if (number != kUnknown32) return number;
    if (field_.size() < 8) return std::nullopt;
    const std::uint64_t wide = number_at(field_, 0, 8);
    field_.remove_prefix(8);
    return wide;
  }

 private:
  std::string_view field_;
};

}  // namespace

ZipDirectory::ZipDirectory(const OpenFile& file) : file_(file) { read_entries(find_directory()); }

void ZipDirectory::refuse(const std::string& reason) const {
  fail(ErrorCode::bad_file, "{}: not a zip archive that can be read: {}", file_.path().string(),
       reason);
}

ZipDirectory::Extent ZipDirectory::find_directory() const {
  constexpr std::size_t kEndBytes = 22;
  constexpr std::size_t kLocatorBytes = 20;
  constexpr std::size_t kEnd64Bytes = 56;
  constexpr std::uint64_t kMaxCommentBytes = 0xffff;
  const std::uint64_t tail_bytes = std::min(file_.size_bytes(), kEndBytes + kMaxCommentBytes);
  const std::uint64_t tail_begin = file_.size_bytes() - tail_bytes;
  const std::string tail = file_.read_text(tail_begin, static_cast<std::size_t>(tail_bytes));
  const std::size_t at =
      tail.size() < kEndBytes ? tail.npos : tail.rfind("PK\5\6", tail.size() - kEndBytes);
  if (at == tail.npos) refuse("it has no directory, perhaps it is truncated");

  const std::string_view end = std::string_view(tail).substr(at, kEndBytes);
  Extent extent{number_at(end, 16, 4), number_at(end, 12, 4), number_at(end, 10, 2)};
  std::uint64_t limit = tail_begin + at;
  const bool is_wide = extent.offset == kUnknown32 || extent.size_bytes == kUnknown32 ||
                       extent.num_entries == kUnknown16;
  if (is_wide && limit >= kLocatorBytes) {
    const std::string locator = file_.read_text(limit - kLocatorBytes, kLocatorBytes);
    if (locator.starts_with("PK\6\7")) {
      limit = number_at(locator, 8, 8);
      if (limit > file_.size_bytes() || file_.size_bytes() - limit < kEnd64Bytes) {
        refuse("its zip64 directory lies outside the file");
      }
      const std::string wide = file_.read_text(limit, kEnd64Bytes);
      if (!wide.starts_with("PK\6\6")) refuse("its zip64 directory is not where it should be");
      extent = {number_at(wide, 48, 8), number_at(wide, 40, 8), number_at(wide, 32, 8)};
    }
  }
  if (extent.offset > limit || extent.size_bytes > limit - extent.offset) {
    refuse("its directory lies outside the file");
  }
  if (extent.size_bytes > kMaxDirectoryBytes) {
    refuse(fmt::format("expected a directory of at most {} bytes, got {}", kMaxDirectoryBytes,
                       extent.size_bytes));
  }
  return extent;
}

void ZipDirectory::read_entries(const Extent& directory) {
  constexpr std::size_t kFixedBytes = 46;
  const std::string file = file_.path().string();
  const std::string bytes =
      file_.read_text(directory.offset, static_cast<std::size_t>(directory.size_bytes));
  std::string_view rest = bytes;
  for (std::uint64_t i = 0; i < directory.num_entries; ++i) {
    if (rest.size() < kFixedBytes || !rest.starts_with("PK\1\2")) {
      refuse(fmt::format("its directory ends after {} of {} entries", i, directory.num_entries));
    }
    const std::uint64_t flags = number_at(rest, 8, 2);
    const std::uint64_t method = number_at(rest, 10, 2);
    const std::uint64_t name_bytes = number_at(rest, 28, 2);
    const std::uint64_t extra_bytes = number_at(rest, 30, 2);
    const std::uint64_t total_bytes =
        kFixedBytes + name_bytes + extra_bytes + number_at(rest, 32, 2);
    if (total_bytes > rest.size()) refuse("its directory is truncated");
    const std::string name(rest.substr(kFixedBytes, name_bytes));
    Zip64Field wide(rest.substr(kFixedBytes + name_bytes, extra_bytes));
    const auto size_bytes = wide.resolve(number_at(rest, 24, 4));
    const auto stored_bytes = wide.resolve(number_at(rest, 20, 4));
    const auto header_offset = wide.resolve(number_at(rest, 42, 4));
    if (!is_safe_name(name)) {
      fail(ErrorCode::bad_file, "{}: expected names inside the archive, got {}", file,
           quoted_name(name));
    }
    if (method != 0 || (flags & 1) != 0) {
      fail(ErrorCode::unsupported, "{}: {}: expected entries as they are, got a{} one", file,
           quoted_name(name), method != 0 ? " compressed" : "n encrypted");
    }
    if (!size_bytes || !stored_bytes || !header_offset || *size_bytes != *stored_bytes) {
      refuse(fmt::format("the sizes of {} contradict each other", quoted_name(name)));
    }
    if (!entries_.try_emplace(name, Entry{*header_offset, *size_bytes}).second) {
      fail(ErrorCode::bad_file, "{}: the archive has {} twice", file, quoted_name(name));
    }
    rest.remove_prefix(total_bytes);
  }
}

ZipDirectory::Place ZipDirectory::find(const std::string& name) const {
  constexpr std::size_t kHeaderBytes = 30;
  const auto found = entries_.find(name);
  if (found == entries_.end()) {
    fail(ErrorCode::bad_file, "{}: the archive has no {}", file_.path().string(),
         quoted_name(name));
  }
  const Entry& entry = found->second;
  const std::uint64_t file_bytes = file_.size_bytes();
  if (entry.header_offset > file_bytes || file_bytes - entry.header_offset < kHeaderBytes) {
    refuse(fmt::format("{} lies outside the file", quoted_name(name)));
  }
  const std::string header = file_.read_text(entry.header_offset, kHeaderBytes);
  const std::uint64_t offset =
      entry.header_offset + kHeaderBytes + number_at(header, 26, 2) + number_at(header, 28, 2);
  if (!header.starts_with("PK\3\4") || offset > file_bytes ||
      entry.size_bytes > file_bytes - offset) {
    refuse(fmt::format("{} lies outside the file", quoted_name(name)));
  }
  return {offset, entry.size_bytes};
}

std::string ZipDirectory::folder_with(std::string_view file_name) const {
  std::string folder;
  for (const auto& [name, entry] : entries_) {
    const std::size_t slash = name.find('/');
    if (slash == name.npos || std::string_view(name).substr(slash + 1) != file_name) continue;
    if (!folder.empty()) {
      fail(ErrorCode::bad_file, "{}: the archive has more than one {}", file_.path().string(),
           file_name);
    }
    folder = name.substr(0, slash);
  }
  if (folder.empty()) {
    fail(ErrorCode::bad_file, "{}: the archive has no {}, expected one that torch.save wrote",
         file_.path().string(), file_name);
  }
  return folder;
}

}  // namespace quern
