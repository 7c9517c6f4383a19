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

std::string engine_name(const ModelSource& model, EngineOptions options) {
  options.max_seqs = 1;
  options.max_seq_len = 16;
  options.max_tokens_per_step = 16;
  options.kv_cache_memory_bytes.reset();
  return engine_name(inspect(model, options).options);
}

void require_other_engine(const std::string& option, const ModelSource& model,
                          const EngineOptions& tested, const EngineOptions& reference) {
  const std::string name = engine_name(model, tested);
  if (name != engine_name(model, reference)) return;
  usage_error("{} {}: that is what is tested; choose another --device, --dtype or {}", option, name,
              option);
}

std::string engine_name(const EngineOptions& resolved) {
  return device_name(resolved) + "-" + dtype_name(resolved);
}

}  // namespace quern::tools
