#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace quern::tools {

/// Reads one record of comma-separated values from the front of `text`, which must not be empty,
/// and takes it off with its line end. A field in double quotes may hold commas, line ends and
/// doubled quotes. `place` begins errors. Errors: bad_file for a quoted field that does not end or
/// that is followed by anything but a comma; the record is taken off all the same.
/// Source: RFC 4180, with LF or CRLF.
std::vector<std::string> take_csv_record(std::string_view& text, const std::string& place);

}  // namespace quern::tools
