#include "tools/generation/prompt_records.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

#include "tools/cli/fail.h"
#include "tools/cli/numbers.h"
#include "tools/input/json_input.h"

namespace quern::tools {
namespace {

constexpr std::array<std::string_view, 9> kKeys = {"prompt",      "prompt_ids", "max_new_tokens",
                                                   "temperature", "top_k",      "top_p",
                                                   "min_p",       "seed",       "stop"};

std::optional<std::uint64_t> read_unsigned(const JsonObject& object, const char* key,
                                           std::uint64_t low, std::uint64_t high) {
  const Json* value = object.find(key);
  if (value == nullptr) return std::nullopt;
  if (value->is_number_unsigned()) {
    const auto number = value->get<std::uint64_t>();
    if (number >= low && number <= high) return number;
  }
  object.reject(key, fmt::format("an integer from {} to {}", low, high));
}

std::optional<int> read_int(const JsonObject& object, const char* key, int low) {
  const auto number =
      read_unsigned(object, key, static_cast<std::uint64_t>(low), std::numeric_limits<int>::max());
  return number ? std::optional(static_cast<int>(*number)) : std::nullopt;
}

std::optional<float> read_float(const JsonObject& object, const char* key,
                                const NumberRange& range) {
  const Json* value = object.find(key);
  if (value == nullptr) return std::nullopt;
  const auto number =
      value->is_number() ? float_in_range(value->get<double>(), range) : std::nullopt;
  if (!number) object.reject(key, range.expected);
  return number;
}

std::optional<std::vector<std::string>> read_stops(const JsonObject& object, const char* key) {
  const Json* value = object.find(key);
  if (value == nullptr) return std::nullopt;
  const auto is_stop = [](const Json& stop) {
    return stop.is_string() && !stop.get_ref<const std::string&>().empty();
  };
  if (is_stop(*value)) return std::vector{value->get<std::string>()};
  if (!value->is_array() || !std::all_of(value->begin(), value->end(), is_stop)) {
    object.reject(key, "a text or a list of texts, none of them empty");
  }
  return value->get<std::vector<std::string>>();
}

PromptSettings read_settings(const JsonObject& object) {
  PromptSettings settings;
  settings.max_new_tokens = read_int(object, "max_new_tokens", 1);
  settings.temperature = read_float(object, "temperature", kTemperatureRange);
  settings.top_k = read_int(object, "top_k", 0);
  settings.top_p = read_float(object, "top_p", kTopPRange);
  settings.min_p = read_float(object, "min_p", kMinPRange);
  settings.seed = read_unsigned(object, "seed", 0, std::numeric_limits<std::uint64_t>::max());
  settings.stop = read_stops(object, "stop");
  return settings;
}

Prompt parse_prompt_line(std::string_view line, const std::string& place) {
  const Json json = parse_json(line, place);
  const JsonObject object(json, place);
  object.require_only(kKeys);
  if (object.has("prompt") == object.has("prompt_ids")) {
    fail(ErrorCode::bad_file, "{}: expected one of the keys 'prompt' and 'prompt_ids', got {}",
         place, object.has("prompt") ? "both" : "neither");
  }
  Prompt prompt;
  prompt.source = place;
  prompt.settings = read_settings(object);
  if (object.has("prompt")) {
    prompt.text = object.required_string("prompt");
    return prompt;
  }
  prompt.ids = object.required_ids("prompt_ids");
  if (prompt.ids.empty()) object.reject("prompt_ids", "at least one token id");
  return prompt;
}

}  // namespace

void apply(const PromptSettings& settings, Request& request) {
  SamplingParams& sampling = request.sampling;
  const bool filtered = settings.top_k || settings.top_p || settings.min_p;
  if (filtered || settings.temperature.value_or(0) > 0) {
    sampling.greedy = false;
    if (sampling.temperature == 0.0F) sampling.temperature.reset();
  }
  if (settings.temperature) sampling.temperature = settings.temperature;
  if (settings.top_k) sampling.top_k = settings.top_k;
  if (settings.top_p) sampling.top_p = settings.top_p;
  if (settings.min_p) sampling.min_p = settings.min_p;
  if (settings.seed) sampling.seed = settings.seed;
  if (settings.max_new_tokens) request.max_new_tokens = settings.max_new_tokens;
  if (settings.stop) request.stop = *settings.stop;
}

std::vector<Prompt> parse_prompt_lines(std::string_view text, const std::string& file) {
  std::vector<Prompt> prompts;
  for (int line_number = 1; !text.empty(); ++line_number) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    prompts.push_back(parse_prompt_line(line, fmt::format("{}:{}", file, line_number)));
  }
  if (prompts.empty()) {
    fail(ErrorCode::bad_file, "{}: expected at least one prompt, got none", file);
  }
  return prompts;
}

}  // namespace quern::tools
