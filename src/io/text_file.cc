#include "base/error.h"
#include "quern/files.h"

namespace quern {

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
