#pragma once

#include <cstddef>
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

/// A whole file mapped read-only; move-only. The file may be removed or replaced meanwhile, but not
/// truncated in place: reading pages that are gone ends the process (SIGBUS).
class QUERN_API MappedFile {
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

  /// Drops the pages of `part`, a part of bytes(), from memory; later reads fetch them from the
  /// file again.
  void release(std::span<const std::byte> part) const;

 private:
  void unmap() noexcept;

  std::filesystem::path path_;
  std::span<const std::byte> bytes_;
};

}  // namespace quern
