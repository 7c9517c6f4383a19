#include "tools/generation/prompt_records.h"

#include <algorithm>
#include <array>
#include <limits>
#include <span>
#include <utility>

#include "quern/json.h"
#include "tools/chat/json_text.h"
#include "tools/chat/messages_file.h"
#include "tools/cli/fail.h"
#include "tools/cli/numbers.h"

namespace quern::tools {
namespace {

/// "messages" first, which not every command takes.
constexpr std::array<std::string_view, 14> kKeys = {
    "messages", "prompt",      "prompt_ids", "max_new_tokens", "temperature", "top_k", "top_p",
    "min_p",    "top_n_sigma", "typical_p",  "epsilon_cutoff", "eta_cutoff",  "seed",  "stop"};

std::optional<int> read_int(const JsonRecord& record, const char* key, std::uint64_t low) {
  const auto number = record.unsigned_integer(key, low, std::numeric_limits<int>::max());
  return number ? std::optional(static_cast<int>(*number)) : std::nullopt;
}

std::optional<float> read_float(const JsonRecord& record, const char* key,
                                const NumberRange& range) {
  constexpr double kMax = std::numeric_limits<double>::max();
  const auto value = record.number(key, -kMax, kMax);
  if (!value) return std::nullopt;
  const auto number = float_in_range(*value, range);
  if (!number) record.reject(key, range.expected);
  return number;
}

PromptSettings read_settings(const JsonRecord& record) {
  PromptSettings settings;
  settings.max_new_tokens = read_int(record, "max_new_tokens", 1);
  settings.temperature = read_float(record, "temperature", kTemperatureRange);
  settings.top_k = read_int(record, "top_k", 0);
  settings.top_p = read_float(record, "top_p", kTopPRange);
  settings.min_p = read_float(record, "min_p", kMinPRange);
  settings.top_n_sigma = read_float(record, "top_n_sigma", kNotNegativeRange);
  settings.typical_p = read_float(record, "typical_p", kTopPRange);
  settings.epsilon_cutoff = read_float(record, "epsilon_cutoff", kCutoffRange);
  settings.eta_cutoff = read_float(record, "eta_cutoff", kCutoffRange);
  settings.seed = record.unsigned_integer("seed", 0, std::numeric_limits<std::uint64_t>::max());
  settings.stop = record.strings("stop");
  return settings;
}

/// Keys keep their order here, which templates show.
std::string messages_text(std::string_view line, const std::string& place) {
  const OrderedJson document = parse_json_text(line, place);
  const Messages messages = messages_of(document.at("messages"), place + ": key 'messages'");
  return json_text(messages);
}

Prompt parse_prompt_line(std::string_view line, const std::string& place, bool takes_messages) {
  const JsonRecord record = JsonRecord::parse(line, place);
  record.require_only(std::span(kKeys).subspan(takes_messages ? 0 : 1));
  Prompt prompt;
  prompt.source = place;
  prompt.settings = read_settings(record);
  if (takes_messages && record.has("messages")) {
    if (record.has("prompt") || record.has("prompt_ids")) {
      fail(ErrorCode::bad_file,
           "{}: expected one of the keys 'prompt', 'prompt_ids' and 'messages', got several",
           place);
    }
    prompt.messages = messages_text(line, place);
    return prompt;
  }
  const auto text = record.string("prompt");
  const auto ids = record.token_ids("prompt_ids");
  if (text.has_value() == ids.has_value()) {
    fail(ErrorCode::bad_file, "{}: expected one of the keys {}, got {}", place,
         takes_messages ? "'prompt', 'prompt_ids' and 'messages'" : "'prompt' and 'prompt_ids'",
         text             ? "both"
         : takes_messages ? "none"
                          : "neither");
  }
  if (ids && ids->empty()) record.reject("prompt_ids", "at least one token id");
  prompt.text = text.value_or("");
  prompt.ids = ids.value_or(std::vector<std::int32_t>());
  return prompt;
}

}  // namespace

void apply(const PromptSettings& settings, Request& request) {
  SamplingParams& sampling = request.sampling;
  const bool filtered = settings.top_k || settings.top_p || settings.min_p ||
                        settings.top_n_sigma || settings.typical_p || settings.epsilon_cutoff ||
                        settings.eta_cutoff;
  if (filtered || settings.temperature.value_or(0) > 0) {
    sampling.greedy = false;
    if (sampling.temperature == 0.0F) sampling.temperature.reset();
  }
  if (settings.temperature) sampling.temperature = settings.temperature;
  if (settings.top_k) sampling.top_k = settings.top_k;
  if (settings.top_p) sampling.top_p = settings.top_p;
  if (settings.min_p) sampling.min_p = settings.min_p;
  if (settings.top_n_sigma) sampling.top_n_sigma = settings.top_n_sigma;
  if (settings.typical_p) sampling.typical_p = settings.typical_p;
  if (settings.epsilon_cutoff) sampling.epsilon_cutoff = settings.epsilon_cutoff;
  if (settings.eta_cutoff) sampling.eta_cutoff = settings.eta_cutoff;
  if (settings.seed) sampling.seed = settings.seed;
  if (settings.max_new_tokens) request.max_new_tokens = settings.max_new_tokens;
  if (settings.stop) request.stop = *settings.stop;
}

std::vector<Prompt> parse_prompt_lines(std::string_view text, const std::string& file,
                                       bool takes_messages) {
  std::vector<Prompt> prompts;
  for (int line_number = 1; !text.empty(); ++line_number) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    prompts.push_back(
        parse_prompt_line(line, fmt::format("{}:{}", file, line_number), takes_messages));
  }
  if (prompts.empty()) {
    fail(ErrorCode::bad_file, "{}: expected at least one prompt, got none", file);
  }
  return prompts;
}

}  // namespace quern::tools
