#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "io/json/json.h"
#include "tokenizer/pretokenize/pattern.h"

namespace quern {

/// Throws unsupported: "<file>: key '<key>': <value> is not supported, expected <expected>".
[[noreturn]] void refuse_component(const JsonObject& json, std::string_view key,
                                   std::string_view value, std::string_view expected);

/// Calls `take(type, component)` for the component of that key, or for each of a Sequence's in
/// order, and for those of Sequences inside it; a Sequence lists them under `list_key`. Nothing for
/// null.
using TakeComponent = std::function<void(const std::string& type, const JsonObject& component)>;
void for_each_component(const JsonObject& parent, const std::string& key,
                        const std::string& list_key, const TakeComponent& take);

/// The component's "pattern": {"String": …} or {"Regex": …}. Errors: bad_file; as make_pattern.
std::unique_ptr<Pattern> read_pattern(const JsonObject& component);

}  // namespace quern
