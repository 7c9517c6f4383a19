#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "quern/files.h"
#include "quern/text.h"

namespace quern::tools {

inline constexpr std::size_t kMaxTextBytes = std::size_t{256} << 20;

/// Errors: bad_file naming `source` and the byte where `text` is not UTF-8.
void require_utf8(std::string_view text, const std::string& source);

/// The text of a file of at most kMaxTextBytes. Errors: not_found; bad_file, also for another
/// encoding than UTF-8.
std::string read_utf8_file(const std::string& file);

}  // namespace quern::tools
