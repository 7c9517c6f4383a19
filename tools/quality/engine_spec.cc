#include "tools/quality/engine_spec.h"

#include <string_view>

#include "tools/cli/model_options.h"
#include "tools/cli/usage_error.h"

namespace quern::tools {

namespace {

constexpr std::string_view kCacheMark = "-kv-";

}  // namespace

std::optional<EngineOptions> parse_engine_spec(const std::string& text, const EngineOptions& base) {
  const std::size_t mark = text.find(kCacheMark);
  const std::string engine = text.substr(0, mark);
  const std::size_t dash = engine.rfind('-');
  if (dash == std::string::npos) return std::nullopt;
  EngineOptions options = base;
  options.kv_cache_dtype = KvCacheDType::automatic;
  try {
    parse_device("", engine.substr(0, dash), options);
    options.dtype = parse_dtype("", engine.substr(dash + 1), "auto");
    if (mark != std::string::npos) {
      options.kv_cache_dtype = parse_kv_cache_dtype("", text.substr(mark + kCacheMark.size()));
    }
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
  usage_error(
      "{} {}: that is what is tested; choose another --device, --dtype, "
      "--kv-cache-dtype or {}",
      option, name, option);
}

std::string engine_name(const EngineOptions& resolved) {
  std::string name = device_name(resolved) + "-" + dtype_name(resolved);
  if (resolved.kv_cache_dtype != KvCacheDType::automatic) {
    name += std::string(kCacheMark) + kv_cache_dtype_name(resolved.kv_cache_dtype);
  }
  return name;
}

}  // namespace quern::tools
