#pragma once

#include <filesystem>
#include <string_view>

namespace quern {

/// Throws bad_file when `content` is a git-LFS pointer, which a clone without git-lfs leaves in
/// place of the file `path`.
void reject_lfs_pointer(std::string_view content, const std::filesystem::path& path);

}  // namespace quern
