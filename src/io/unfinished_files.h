#pragma once

#include <filesystem>

namespace quern {

/// Notes a file for remove_unfinished_files(). Returns its slot, or -1 when there is no room, and
/// the file is then not removed by it.
int note_unfinished_file(const std::filesystem::path& path) noexcept;

/// Forgets the file of a slot; -1 is ignored.
void forget_unfinished_file(int slot) noexcept;

}  // namespace quern
