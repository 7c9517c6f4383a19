#pragma once

#include <cstdint>
#include <filesystem>

namespace quern {

/// A regular file opened for reading, closed by the destructor.
class OpenFile {
 public:
  /// Errors: not_found; bad_file for a folder, a pipe or device, or a file that may not be read,
  /// with the reason.
  explicit OpenFile(const std::filesystem::path& path);
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  ~OpenFile();

  int descriptor() const { return descriptor_; }
  /// The size when it was opened.
  std::uint64_t size_bytes() const { return size_bytes_; }

 private:
  int descriptor_ = -1;
  std::uint64_t size_bytes_ = 0;
};

}  // namespace quern
