#pragma once

#include <string>
#include <string_view>

#include "quern/request.h"

namespace quern::tools {

/// Sets one of request_options() of a chat by its name: temperature, top_k, … Of those that take
/// several values each call adds one. "default" is what the model or the library take. Hyphens are
/// taken for underscores. Errors: UsageError naming the name or what was expected; the request is
/// then as it was.
void set_setting(Request& request, std::string_view name, const std::string& value);

/// All settings as "name value", a line each; `resolved` is what is in force.
std::string settings_text(const Request& resolved);

/// The names, for help.
std::string setting_names();

}  // namespace quern::tools
