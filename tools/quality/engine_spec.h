#pragma once

#include <optional>
#include <string>

#include "quern/engine.h"

namespace quern::tools {

/// "cpu-float32", "cuda:1-float16": an engine for the same model and limits as `base`, but on that
/// device and in that dtype. Nothing for a text of another form.
std::optional<EngineOptions> parse_engine_spec(const std::string& text, const EngineOptions& base);

/// "cpu-float32": how resolved options are called.
std::string engine_name(const EngineOptions& resolved);

}  // namespace quern::tools
