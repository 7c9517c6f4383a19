#pragma once

#include <string>
#include <string_view>

namespace quern {

/// `text` on one line that is safe to show: control characters as \u00XX, ill-formed UTF-8 as
/// U+FFFD, at most the first 4000 bytes.
std::string printable_line(std::string_view text);

}  // namespace quern
