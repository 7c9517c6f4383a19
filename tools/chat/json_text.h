#pragma once

#include <string>
#include <string_view>

#include "tools/output/json_output.h"

namespace quern::tools {

/// JSON from outside whose keys keep their order, as templates show it. At most 100 levels deep and
/// 4096 keys in an object; of duplicate keys the last counts, as in Python. `source` is what errors
/// call it. Errors: bad_file with the place.
OrderedJson parse_json_text(std::string_view text, const std::string& source);

/// True for text that parse_json_text() takes.
bool is_json(std::string_view text);

/// JSON text of a value from parse_json_text().
std::string json_text(const OrderedJson& json);

}  // namespace quern::tools
