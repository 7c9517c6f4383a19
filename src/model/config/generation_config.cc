#include <array>
#include <limits>

#include "base/log.h"
#include "model/config/config.h"
#include "model/config/config_keys.h"

namespace quern {
namespace {

constexpr int kMaxCount = std::numeric_limits<std::int32_t>::max();

/// Settings that would change the text and that we do not read, with the value that means "off".
struct IgnoredSetting {
  std::string_view key;
  double off;
};

constexpr std::array kIgnoredSettings = {
    IgnoredSetting{"num_beams", 1.0},
    IgnoredSetting{"penalty_alpha", 0.0},
    IgnoredSetting{"typical_p", 1.0},
    IgnoredSetting{"epsilon_cutoff", 0.0},
    IgnoredSetting{"eta_cutoff", 0.0},
    IgnoredSetting{"min_length", 0.0},
    IgnoredSetting{"min_new_tokens", 0.0},
    IgnoredSetting{"bad_words_ids", 0.0},
    IgnoredSetting{"suppress_tokens", 0.0},
    IgnoredSetting{"begin_suppress_tokens", 0.0},
    IgnoredSetting{"sequence_bias", 0.0},
    IgnoredSetting{"forced_bos_token_id", -1.0},
    IgnoredSetting{"forced_eos_token_id", -1.0},
};

void warn_of_ignored(const JsonObject& object) {
  for (const IgnoredSetting& setting : kIgnoredSettings) {
    const Json* value = object.find(setting.key);
    if (value == nullptr || *value == setting.off) continue;
    log(LogLevel::warning, "{}: key '{}' is not supported and has no effect", object.file(),
        setting.key);
  }
}

std::optional<float> read_float(const JsonObject& object, std::string_view key, double low,
                                double high) {
  const auto value = object.number(key, low, high);
  return value ? std::optional(static_cast<float>(*value)) : std::nullopt;
}

std::optional<int> read_count(const JsonObject& object, std::string_view key) {
  const auto value = object.integer(key, 0, kMaxCount);
  return value ? std::optional(static_cast<int>(*value)) : std::nullopt;
}

}  // namespace

GenerationConfig load_generation_config(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "generation_config.json";
  GenerationConfig config;
  if (!std::filesystem::exists(path)) return config;
  const Json json = read_json(path);
  const JsonObject object(json, path.string());

  config.present = true;
  config.do_sample = object.boolean("do_sample");
  config.temperature = read_float(object, "temperature", 0.0, 1e4);
  config.top_p = read_float(object, "top_p", 0.0, 1.0);
  config.min_p = read_float(object, "min_p", 0.0, 1.0);
  config.repetition_penalty = read_float(object, "repetition_penalty", 1e-3, 1e3);
  config.top_k = read_count(object, "top_k");
  config.no_repeat_ngram_size = read_count(object, "no_repeat_ngram_size");
  config.max_new_tokens = read_count(object, "max_new_tokens");
  config.bos_token_id = read_token_id(object, "bos_token_id");
  config.pad_token_id = read_token_id(object, "pad_token_id");
  config.eos_token_ids = read_token_ids(object, "eos_token_id");
  config.chat_format = object.string("chat_format").value_or("");
  warn_of_ignored(object);
  return config;
}

}  // namespace quern
