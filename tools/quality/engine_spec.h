#pragma once

#include <optional>
#include <string>

#include "quern/engine.h"

namespace quern::tools {

/// "cpu-float32", "cuda:1-float16", "cpu-float32-kv-int8": an engine for the same model and limits
/// as `base`, but on that device, in that dtype and with that KV cache, the unscaled one where none
/// is named. Nothing for a text of another form.
std::optional<EngineOptions> parse_engine_spec(const std::string& text, const EngineOptions& base);

/// "cuda:0-float16": the device, dtype and KV cache that options come to for a model, whatever
/// their limits. Errors: those of quern::inspect.
std::string engine_name(const ModelSource& model, EngineOptions options);

/// Throws a UsageError when the two come to the same name: what an option compares an
/// engine with must not be that engine. Errors: also those of quern::inspect.
void require_other_engine(const std::string& option, const ModelSource& model,
                          const EngineOptions& tested, const EngineOptions& reference);

/// "cpu-float32", "cpu-float32-kv-int8": how resolved options are called.
std::string engine_name(const EngineOptions& resolved);

}  // namespace quern::tools
