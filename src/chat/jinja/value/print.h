#pragma once

#include "chat/jinja/run/heap.h"
#include "chat/jinja/value/value.h"

namespace quern::jinja {

/// str(value), appended.
void print(Heap& heap, const Value& value, Text& out);
Text printed(Heap& heap, const Value& value);

/// repr(value), appended. Errors: nested too deep.
void print_repr(Heap& heap, const Value& value, Text& out, int depth = 0);

/// What json.dumps takes.
struct JsonStyle {
  bool ensure_ascii = false;
  bool is_indented = false;
  Text indent;
  Text item_separator{", "};
  Text key_separator{": "};
  bool sort_keys = false;
};

/// json.dumps(value). Errors (TypeError): values that JSON does not have.
Text to_json(Heap& heap, const Value& value, const JsonStyle& style);

}  // namespace quern::jinja
