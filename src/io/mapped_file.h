#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace quern {

/// A whole file mapped read-only; move-only. The file may be removed or replaced meanwhile, but not
/// cut shorter in place: reading what is gone ends the process.
class MappedFile {
 public:
  MappedFile() = default;
  /// Errors: not_found, bad_file (a folder, unreadable).
  static MappedFile open(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  const std::filesystem::path& path() const { return path_; }
  std::span<const std::byte> bytes() const { return bytes_; }

  /// Releases the pages of `part`, a part of bytes(), from memory; reading them again loads them
  /// from the file.
  void release(std::span<const std::byte> part) const;

 private:
  void unmap() noexcept;

  std::filesystem::path path_;
  std::span<const std::byte> bytes_;
};

}  // namespace quern
