#include "tools/quality/data/csv.h"

#include <algorithm>

#include "tools/cli/fail.h"

namespace quern::tools {
namespace {

/// Takes what stands before the first of `ends`, or all.
std::string_view take_until(std::string_view& text, std::string_view ends) {
  const std::string_view part = text.substr(0, text.find_first_of(ends));
  text.remove_prefix(part.size());
  return part;
}

std::string take_quoted(std::string_view& text, const std::string& place) {
  std::string field;
  text.remove_prefix(1);
  while (true) {
    field += take_until(text, "\"");
    if (text.empty()) fail(ErrorCode::bad_file, "{}: a quoted field does not end", place);
    text.remove_prefix(1);
    if (!text.starts_with('"')) break;
    field += '"';
    text.remove_prefix(1);
  }
  if (text.empty() || text.starts_with(',') || text.starts_with('\n') || text.starts_with("\r\n")) {
    return field;
  }
  const char found = text.front();
  take_until(text, "\n");
  text.remove_prefix(std::min<std::size_t>(1, text.size()));
  fail(ErrorCode::bad_file, "{}: expected a comma or a line end after a quoted field, got '{}'",
       place, found);
}

}  // namespace

std::vector<std::string> take_csv_record(std::string_view& text, const std::string& place) {
  std::vector<std::string> fields;
  while (true) {
    if (text.starts_with('"')) {
      fields.push_back(take_quoted(text, place));
    } else {
      fields.emplace_back(take_until(text, ",\n"));
      const bool ends_line = text.empty() || text.starts_with('\n');
      if (ends_line && fields.back().ends_with('\r')) fields.back().pop_back();
    }
    if (text.starts_with('\r')) text.remove_prefix(1);
    const bool more = text.starts_with(',');
    text.remove_prefix(std::min<std::size_t>(1, text.size()));
    if (!more) return fields;
  }
}

}  // namespace quern::tools
