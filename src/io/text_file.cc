#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "base/error.h"
#include "io/open_file.h"
#include "quern/files.h"

namespace quern {

std::string read_text_file(const std::filesystem::path& path, std::size_t max_bytes) {
  const OpenFile file(path);
  if (file.size_bytes() > max_bytes) {
    fail(ErrorCode::bad_file, "{}: {} bytes, expected at most {}", path.string(), file.size_bytes(),
         max_bytes);
  }
  std::string text(static_cast<std::size_t>(file.size_bytes()), '\0');
  std::size_t filled = 0;
  while (filled < text.size()) {
    const ssize_t count = ::read(file.descriptor(), text.data() + filled, text.size() - filled);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      fail(ErrorCode::bad_file, "{}: cannot read {} bytes, got {}: {}", path.string(), text.size(),
           filled, count == 0 ? "the file ended" : std::generic_category().message(errno));
    }
    filled += static_cast<std::size_t>(count);
  }
  reject_lfs_pointer(text, path);
  return text;
}

}  // namespace quern
