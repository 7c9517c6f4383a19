#pragma once

#include <string>
#include <string_view>

namespace quern::tools {

/// Fails now as write_file() would after the work. Leaves the file as it is. Errors: also
/// UsageError for "-", which would mix two outputs.
void check_writable(const std::string& path);

/// Writes `text` as the whole of a file. Errors: bad_file with the reason.
void write_file(const std::string& path, std::string_view text);

}  // namespace quern::tools
