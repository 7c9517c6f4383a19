#pragma once

#include <string>
#include <string_view>

#include "chat/jinja/run/heap.h"

namespace quern {

/// A JSON document as values of a template, keys in their order, its strings marked as untrusted.
/// Errors: invalid_argument calling the text `what`.
jinja::Value read_values(jinja::Heap& heap, std::string_view json, const std::string& what);

/// What transformers makes of a list of messages: keys whose value is None are left out, and
/// reasoning goes by its several names. A role that is a plain word counts as the template's own
/// text. Errors: invalid_argument for what is not a list of objects, or empty.
jinja::Value prepared_messages(jinja::Heap& heap, const jinja::Value& messages);

}  // namespace quern
