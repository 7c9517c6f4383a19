#include "model/config/generation_config.h"

#include <algorithm>
#include <array>
#include <limits>
#include <string_view>

#include "base/log.h"
#include "io/open_file.h"
#include "model/config/config_keys.h"

namespace quern {
namespace {

constexpr int kMaxCount = std::numeric_limits<std::int32_t>::max();
constexpr double kLargeNumber = 1e9;

/// A setting that would change the text and that we do not implement.
struct IgnoredSetting {
  std::string_view key;
  double off;                  ///< the value with which it has no effect
  bool sampling_only = false;  ///< without do_sample it has none either
};

constexpr double kNever = -1.0;
constexpr std::array kIgnoredSettings = {
    IgnoredSetting{"num_beams", 1.0},
    IgnoredSetting{"num_return_sequences", 1.0},
    IgnoredSetting{"penalty_alpha", 0.0},
    IgnoredSetting{"dola_layers", kNever},
    IgnoredSetting{"guidance_scale", 1.0},
    IgnoredSetting{"sequence_bias", kNever},
    IgnoredSetting{"encoder_repetition_penalty", 1.0},
    IgnoredSetting{"encoder_no_repeat_ngram_size", 0.0},
    IgnoredSetting{"forced_bos_token_id", kNever},
    IgnoredSetting{"forced_eos_token_id", kNever},
    IgnoredSetting{"exponential_decay_length_penalty", kNever},
    IgnoredSetting{"force_words_ids", kNever},
    IgnoredSetting{"constraints", kNever},
    IgnoredSetting{"watermarking_config", kNever},
    IgnoredSetting{"max_time", kNever},
    IgnoredSetting{"top_h", kNever, true},
};

void warn_of_ignored(const JsonObject& object, bool samples) {
  for (const IgnoredSetting& setting : kIgnoredSettings) {
    const Json* value = object.find(setting.key);
    if (value == nullptr || *value == setting.off || (setting.sampling_only && !samples)) continue;
    if (value->is_structured() && value->empty()) continue;
    log(LogLevel::warning, "{}: key '{}' is not supported and has no effect", object.file(),
        setting.key);
  }
}

std::optional<float> read_float(const JsonObject& object, std::string_view key, double low,
                                double high) {
  const auto value = object.number(key, low, high);
  return value ? std::optional(static_cast<float>(*value)) : std::nullopt;
}

std::optional<int> read_count(const JsonObject& object, std::string_view key, int low = 0) {
  const auto value = read_integer(object, key, low, kMaxCount);
  return value ? std::optional(static_cast<int>(*value)) : std::nullopt;
}

/// 0 and, as vLLM and others write it, -1 mean that all tokens stay.
std::optional<int> read_top_k(const JsonObject& object) {
  const auto top_k = read_count(object, "top_k", -1);
  return top_k == -1 ? 0 : top_k;
}

/// generate() uses it below 1 and, where it samples, refuses it from 0 down.
std::optional<float> read_typical_p(const JsonObject& object, bool samples) {
  constexpr std::string_view kKey = "typical_p";
  const auto value = object.number(kKey, -kLargeNumber, kLargeNumber);
  if (!value || (*value <= 0.0 && !samples)) return std::nullopt;
  if (*value <= 0.0) object.reject(kKey, "a number above 0");
  return static_cast<float>(std::min(*value, 1.0));
}

/// generate() uses it within (0, 1).
std::optional<float> read_cutoff(const JsonObject& object, std::string_view key) {
  const auto value = object.number(key, -kLargeNumber, kLargeNumber);
  if (!value) return std::nullopt;
  return *value > 0.0 && *value < 1.0 ? static_cast<float>(*value) : 0.0f;
}

std::vector<std::vector<std::int32_t>> read_bad_words(const JsonObject& object) {
  constexpr std::string_view kKey = "bad_words_ids";
  std::vector<std::vector<std::int32_t>> words;
  const Json* lists = object.find(kKey);
  if (lists == nullptr) return words;
  if (!lists->is_array()) object.reject(kKey, "a list of lists of token ids");
  for (const Json& list : *lists) {
    words.push_back(token_id_list(object, kKey, list));
    if (words.back().empty()) object.reject(kKey, "lists of at least one token id");
  }
  return words;
}

/// One string or a list of them.
std::vector<std::string> read_stop_strings(const JsonObject& object) {
  constexpr std::string_view kKey = "stop_strings";
  const Json* value = object.find(kKey);
  if (value == nullptr) return {};
  std::vector<std::string> strings;
  for (const Json& item : value->is_array() ? *value : Json::array({*value})) {
    if (!item.is_string() || item == "") object.reject(kKey, "a string or a list of strings");
    strings.push_back(item.get<std::string>());
  }
  return strings;
}

}  // namespace

GenerationConfig load_generation_config(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "generation_config.json";
  GenerationConfig config;
  if (!is_listed(path)) return config;
  const Json json = read_json(path);
  const JsonObject object(json, path.string());

  config.present = true;
  config.do_sample = object.boolean("do_sample");
  config.temperature = read_float(object, "temperature", 0.0, 1e4);
  config.top_p = read_float(object, "top_p", 0.0, 1.0);
  config.min_p = read_float(object, "min_p", 0.0, 1.0);
  config.typical_p = read_typical_p(object, config.do_sample.value_or(false));
  config.epsilon_cutoff = read_cutoff(object, "epsilon_cutoff");
  config.eta_cutoff = read_cutoff(object, "eta_cutoff");
  config.repetition_penalty = read_float(object, "repetition_penalty", 1e-3, 1e3);
  config.top_k = read_top_k(object);
  config.no_repeat_ngram_size = read_count(object, "no_repeat_ngram_size");
  config.max_new_tokens = read_count(object, "max_new_tokens");
  config.max_length = read_count(object, "max_length");
  config.min_new_tokens = read_count(object, "min_new_tokens");
  config.min_length = read_count(object, "min_length");
  config.suppress_tokens = read_token_ids(object, "suppress_tokens");
  config.begin_suppress_tokens = read_token_ids(object, "begin_suppress_tokens");
  config.bad_words_ids = read_bad_words(object);
  config.stop_strings = read_stop_strings(object);
  config.bos_token_id = read_token_id(object, "bos_token_id");
  config.pad_token_id = read_token_id(object, "pad_token_id");
  config.eos_token_ids = read_token_ids(object, "eos_token_id");
  config.chat_format = object.string("chat_format").value_or("");
  config.max_window_size = read_count(object, "max_window_size");
  warn_of_ignored(object, config.do_sample.value_or(false));
  return config;
}

}  // namespace quern
