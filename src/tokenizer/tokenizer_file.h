#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <string_view>

#include "io/json/json.h"
#include "quern/files.h"

namespace quern {

/// The bytes of a tokenizer's file. Errors: not_found; bad_file for more than kMaxTokenizerBytes.
inline std::string read_tokenizer_file(const std::filesystem::path& path) {
  return read_text_file(path, kMaxTokenizerBytes);
}

/// Calls `take(number, line)` for every line, counting from 1, without its "\n" or "\r\n". After a
/// last line break there is no further line.
template <typename Take>
void for_each_line(std::string_view text, const Take& take) {
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    take(number, line);
  }
}

}  // namespace quern
