#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "quern/export.h"

namespace quern {

/// The folder of `model`: a folder; the folder of a Hugging Face cache entry (`models--org--name`:
/// the snapshot of its refs/main); or `org/name` if the local cache has it (HF_HUB_CACHE, HF_HOME,
/// ~/.cache/huggingface/hub). Never uses the network. Errors: not_found with the places searched
/// and the command that downloads it; bad_file for a file in place of a folder; unsupported for a
/// GGUF file.
QUERN_API std::filesystem::path find_model_folder(const std::string& model);

/// The content of a file of at most `max_bytes`, as bytes: no encoding is checked. Errors:
/// not_found; bad_file for a folder, an unreadable or a longer file, and for a git-LFS pointer.
QUERN_API std::string read_text_file(const std::filesystem::path& path, std::size_t max_bytes);

/// Throws bad_file when `content` is a git-LFS pointer, which a clone without git-lfs leaves in
/// place of the file `path`.
QUERN_API void reject_lfs_pointer(std::string_view content, const std::filesystem::path& path);

/// A regular file opened for reading, closed at the end. Nothing is mapped: a file that is cut
/// short while it is read is an error, not a signal.
class QUERN_API OpenFile {
 public:
  /// Errors: not_found; bad_file for a folder, a pipe or device, a dangling or looping link (which
  /// it names), or a file that may not be read, with the reason.
  explicit OpenFile(std::filesystem::path path);
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  ~OpenFile();

  const std::filesystem::path& path() const { return path_; }
  /// As it was when opened.
  std::uint64_t size_bytes() const { return size_bytes_; }

  /// Fills `out` with the bytes from `offset` on. Thread-safe. Errors: bad_file when the file has
  /// become shorter or cannot be read.
  void read(std::uint64_t offset, std::span<std::byte> out) const;
  /// The same as text.
  std::string read_text(std::uint64_t offset, std::size_t size_bytes) const;

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  std::uint64_t size_bytes_ = 0;
};

}  // namespace quern
