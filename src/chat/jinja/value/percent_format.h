#pragma once

#include "chat/jinja/run/heap.h"
#include "chat/jinja/value/value.h"

namespace quern::jinja {

/// Python's `format % arguments`. Errors: TypeError and ValueError as Python.
Text percent_format(Heap& heap, const Text& format, const Value& arguments);

/// A text in a field of a width, of code points; `align` is '<', '>' or '^'. Errors: limit.
Text aligned(Heap& heap, const Text& text, std::int64_t width, std::string_view fill, char align);

/// A number with printf's conversion d, x, o, e, f, g and their capitals, sign and precision.
std::string format_number(Heap& heap, const Value& value, char conversion, bool is_alternate,
                          std::int64_t precision);

}  // namespace quern::jinja
