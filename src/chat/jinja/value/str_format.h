#pragma once

#include "chat/jinja/run/interpreter.h"

namespace quern::jinja {

/// str.format(), with the sandbox's rules for attributes. Errors: as Python; unsupported for
/// fields within a format specification.
Text str_format(Interpreter& run, const Text& format, const Arguments& arguments);

}  // namespace quern::jinja
