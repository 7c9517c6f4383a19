#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "quern/export.h"

namespace quern {

/// The offset of the first byte of ill-formed UTF-8, or nothing.
QUERN_API std::optional<std::size_t> invalid_utf8_at(std::string_view text);

/// `text` with one U+FFFD for each ill-formed subsequence, as Python's `decode("utf-8", "replace")`
/// does.
QUERN_API std::string replace_invalid_utf8(std::string_view text);

/// At most the first `max_bytes` bytes of a text in UTF-8, cut between characters, followed by "…"
/// if it was cut.
QUERN_API std::string shortened_text(std::string_view text, std::size_t max_bytes);

/// Untrusted text for an error message: in single quotes, on one line, escaped as in JSON,
/// shortened when long.
QUERN_API std::string quoted_name(std::string_view text);

}  // namespace quern
