#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

namespace quern {

/// The whole content of a file of at most `max_bytes`, as bytes: no encoding is checked, nothing is
/// translated. Errors: not_found; bad_file for a folder, an unreadable or a longer file.
std::string read_text_file(const std::filesystem::path& path, std::size_t max_bytes);

}  // namespace quern
