#include "tools/quality/engine_spec.h"

#include "tools/cli/model_options.h"
#include "tools/cli/usage_error.h"

namespace quern::tools {

std::optional<EngineOptions> parse_engine_spec(const std::string& text, const EngineOptions& base) {
  const std::size_t dash = text.rfind('-');
  if (dash == std::string::npos) return std::nullopt;
  EngineOptions options = base;
  try {
    parse_device("", text.substr(0, dash), options);
    options.dtype = parse_dtype("", text.substr(dash + 1), "auto");
  } catch (const UsageError&) {
    return std::nullopt;
  }
  return options;
}

std::string engine_name(const EngineOptions& resolved) {
  return device_name(resolved) + "-" + dtype_name(resolved);
}

}  // namespace quern::tools
