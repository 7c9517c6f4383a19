#pragma once

#include <string_view>

#include "chat/jinja/syntax/ast.h"

namespace quern::jinja {

/// Parses a template as Jinja with the extensions that transformers turns on: loop controls and
/// generation blocks. Errors: Failure with the line: syntax; unsupported for a filter or test that
/// Jinja has and this engine lacks; limit.
Template parse_template(std::string_view source);

}  // namespace quern::jinja
