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

}  // namespace quern
