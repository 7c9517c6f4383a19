#include "tools/load/load_requests.h"

#include <fmt/format.h>

#include <random>
#include <utility>

#include "quern/limits.h"
#include "quern/text.h"
#include "tools/bench/random_requests.h"
#include "tools/chat/json_text.h"
#include "tools/cli/fail.h"
#include "tools/cli/numbers.h"
#include "tools/cli/usage_error.h"
#include "tools/generation/prompt_records.h"

namespace quern::tools {
namespace {

int any_length(std::mt19937_64& generator, const LengthRange& range) {
  return std::uniform_int_distribution<int>(range.low, range.high)(generator);
}

OrderedJson common_fields(const LoadRequestOptions& options, int max_tokens) {
  OrderedJson json = OrderedJson::object();
  if (!options.model.empty()) json["model"] = options.model;
  json["max_tokens"] = max_tokens;
  json["temperature"] = 0;
  if (!options.stops_at_eos) json["ignore_eos"] = true;
  json["stream"] = true;
  json["stream_options"] = {{"include_usage", true}};
  return json;
}

void add_settings(const Prompt& prompt, OrderedJson& json) {
  const PromptSettings& settings = prompt.settings;
  const bool others =
      settings.top_n_sigma || settings.typical_p || settings.epsilon_cutoff || settings.eta_cutoff;
  if (others) {
    fail(ErrorCode::bad_file,
         "{}: of the samplers a server takes temperature, top_k, top_p and min_p, got another",
         prompt.source);
  }
  if (settings.temperature) json["temperature"] = shortest(*settings.temperature);
  if (settings.top_k) json["top_k"] = *settings.top_k;
  if (settings.top_p) json["top_p"] = shortest(*settings.top_p);
  if (settings.min_p) json["min_p"] = shortest(*settings.min_p);
  if (settings.seed) json["seed"] = *settings.seed;
  if (settings.stop) json["stop"] = *settings.stop;
  if (settings.max_new_tokens) json["max_tokens"] = *settings.max_new_tokens;
}

LoadRequest request_of(const Prompt& prompt, OrderedJson json) {
  LoadRequest request;
  add_settings(prompt, json);
  if (!prompt.messages.empty()) {
    request.path = "/v1/chat/completions";
    json["messages"] = parse_json_text(prompt.messages, prompt.source);
  } else if (prompt.ids.empty()) {
    json["prompt"] = prompt.text;
  } else {
    json["prompt"] = prompt.ids;
    request.prompt_tokens = prompt.ids.size();
  }
  request.body = json_text(json);
  return request;
}

}  // namespace

LengthRange parse_length_range(const std::string& option, std::string_view text) {
  const std::string place = fmt::format("{} {}", option, quoted_name(text));
  const std::size_t dash = text.find('-', 1);
  LengthRange range;
  range.low = parse_integer(place, text.substr(0, dash), 1, kMaxTokens);
  range.high = dash == std::string_view::npos
                   ? range.low
                   : parse_integer(place, text.substr(dash + 1), 1, kMaxTokens);
  if (range.high < range.low) {
    usage_error("{}: expected a range such as 1-512, got one that descends", place);
  }
  return range;
}

std::vector<LoadRequest> random_load(const LoadRequestOptions& options, std::size_t count) {
  std::mt19937_64 generator(options.seed);
  std::vector<LoadRequest> requests;
  for (std::size_t i = 0; i < count; ++i) {
    const int input_len = any_length(generator, options.input);
    const int output_len = any_length(generator, options.output);
    Prompt prompt;
    prompt.ids = random_request(generator, options.vocab_size, input_len, output_len).prompt_ids;
    requests.push_back(request_of(prompt, common_fields(options, output_len)));
  }
  return requests;
}

std::vector<LoadRequest> recorded_load(const LoadRequestOptions& options, std::size_t count,
                                       std::string_view text, const std::string& file) {
  std::mt19937_64 generator(options.seed);
  const std::vector<Prompt> prompts = parse_prompt_lines(text, file, true);
  std::vector<LoadRequest> requests;
  for (std::size_t i = 0; i < count; ++i) {
    requests.push_back(request_of(prompts[i % prompts.size()],
                                  common_fields(options, any_length(generator, options.output))));
  }
  return requests;
}

}  // namespace quern::tools
