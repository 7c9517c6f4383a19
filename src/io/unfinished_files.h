#pragma once

#include <filesystem>

namespace quern {

/// Notes a file, or a folder with all that is in it, for remove_unfinished_files(). Returns its
/// slot, or -1 when there is no room, and it is then not removed by it.
int note_unfinished_file(const std::filesystem::path& path) noexcept;

/// Forgets what is in a slot; -1 is ignored.
void forget_unfinished_file(int slot) noexcept;

}  // namespace quern
