#include "base/error.h"
#include "quern/files.h"

namespace quern {

void reject_lfs_pointer(std::string_view content, const std::filesystem::path& path) {
  if (content.starts_with("version https://git-lfs.github.com/spec/")) {
    fail(ErrorCode::bad_file,
         "{}: expected the file itself, got a git-LFS pointer to it; fetch it with 'git lfs pull'",
         path.string());
  }
}

std::string read_text_file(const std::filesystem::path& path, std::size_t max_bytes) {
  const OpenFile file(path);
  if (file.size_bytes() > max_bytes) {
    fail(ErrorCode::bad_file, "{}: {} bytes, expected at most {}", path.string(), file.size_bytes(),
         max_bytes);
  }
  std::string text = file.read_text(0, static_cast<std::size_t>(file.size_bytes()));
  reject_lfs_pointer(text, path);
  return text;
}

}  // namespace quern
