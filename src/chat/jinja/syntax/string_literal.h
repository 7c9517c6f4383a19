#pragma once

#include <string>
#include <string_view>

namespace quern::jinja {

/// The value of a string literal between its quotes, with Python's escapes. Errors: Failure
/// (syntax) for an escape that Python refuses; unsupported for surrogates and \N{…}.
std::string unescaped_literal(std::string_view written, int line);

}  // namespace quern::jinja
