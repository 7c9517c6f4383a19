#include "tools/server/openai/generation_fields.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include "quern/limits.h"
#include "tools/server/openai/api_error.h"

namespace quern::tools {
namespace {

constexpr double kMaxFloat = std::numeric_limits<float>::max();
constexpr std::size_t kMaxStops = 4;
constexpr std::size_t kMaxStopBytes = 4096;

void check_ids(const std::vector<std::int32_t>& ids, const std::string& path, int vocab_size) {
  for (const std::int32_t id : ids) {
    if (id >= vocab_size) {
      bad_field(path, "token id {} is outside of the vocabulary, which has {}", id, vocab_size);
    }
  }
}

std::vector<std::string> parse_stops(Fields& fields) {
  const OrderedJson* value = fields.find("stop");
  if (value == nullptr) return {};
  const OrderedJson list = value->is_array() ? *value : OrderedJson::array({*value});
  if (list.size() > kMaxStops) {
    bad_field("stop", "expected at most {} texts, got {}", kMaxStops, list.size());
  }
  std::vector<std::string> stops;
  for (const OrderedJson& entry : list) {
    if (!entry.is_string() || entry.get_ref<const std::string&>().empty()) {
      bad_field("stop", "expected a text or a list of texts, none of them empty, got {}",
                shown_value(*value));
    }
    stops.push_back(entry.get<std::string>());
    if (stops.back().size() > kMaxStopBytes) {
      bad_field("stop", "expected texts of at most {} bytes, got one of {}", kMaxStopBytes,
                stops.back().size());
    }
  }
  return stops;
}

void parse_logit_bias(Fields& fields, const ModelLimits& limits, SamplingParams& sampling) {
  const OrderedJson* value = fields.find("logit_bias");
  if (value == nullptr) return;
  if (!value->is_object()) {
    bad_field("logit_bias", "expected an object of token ids and numbers, got {}",
              shown_value(*value));
  }
  if (value->size() > static_cast<std::size_t>(kMaxLogitBias)) {
    bad_field("logit_bias", "expected at most {} entries, got {}", kMaxLogitBias, value->size());
  }
  Fields entries(*value, "logit_bias");
  for (const auto& [key, entry] : value->items()) {
    std::int32_t id = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size() || id < 0) {
      bad_field("logit_bias", "expected token ids as keys, got {}", shown_value(key));
    }
    check_ids({id}, "logit_bias", limits.vocab_size);
    if (const auto bias = entries.number(key, -100, 100)) {
      sampling.logit_bias.emplace_back(id, *bias);
    }
  }
}

void parse_seed(Fields& fields, SamplingParams& sampling) {
  using Limits = std::numeric_limits<std::int64_t>;
  if (const auto seed = fields.integer("seed", Limits::min(), Limits::max())) {
    sampling.seed = static_cast<std::uint64_t>(*seed);
  }
}

void parse_sampling(Fields& fields, const ModelLimits& limits, SamplingParams& sampling) {
  sampling.temperature = fields.number("temperature", 0, kMaxFloat);
  if (!sampling.temperature && !limits.samples) sampling.temperature = 1.0f;
  sampling.top_p = fields.number("top_p", 0, 1);
  if (sampling.top_p == 0.0f) {
    bad_field("top_p", "expected a number above 0 and up to 1, got 0");
  }
  // -1 is vLLM's word for all.
  if (const auto top_k = fields.integer("top_k", -1, std::numeric_limits<int>::max())) {
    sampling.top_k = static_cast<int>(std::max<std::int64_t>(*top_k, 0));
  }
  sampling.min_p = fields.number("min_p", 0, 1);
  sampling.repetition_penalty = fields.number("repetition_penalty", 0, kMaxFloat);
  if (sampling.repetition_penalty == 0.0f) {
    bad_field("repetition_penalty", "expected a number above 0, got 0");
  }
  sampling.presence_penalty = fields.number("presence_penalty", -2, 2);
  sampling.frequency_penalty = fields.number("frequency_penalty", -2, 2);
  parse_seed(fields, sampling);
  parse_logit_bias(fields, limits, sampling);
}

void parse_stream(Fields& fields, GenerationFields& parsed) {
  parsed.stream = fields.boolean("stream", false);
  const OrderedJson* options = fields.find("stream_options");
  if (options == nullptr) return;
  if (!parsed.stream) bad_field("stream_options", "only with \"stream\": true");
  Fields inner(*options, "stream_options");
  parsed.include_usage = inner.boolean("include_usage", false);
  inner.refuse("continuous_usage_stats", "not served; include_usage gives the usage at the end");
  inner.ignore({"include_obfuscation"});
  inner.reject_unknown();
}

}  // namespace

GenerationFields parse_generation_fields(Fields& fields, const ModelLimits& limits) {
  GenerationFields parsed;
  Request& request = parsed.request;
  parsed.model = fields.text("model");
  parse_sampling(fields, limits, request.sampling);
  parse_stream(fields, parsed);
  request.num_return_sequences =
      static_cast<int>(fields.integer("n", 1, kMaxReturnSequences).value_or(1));
  if (request.num_return_sequences > 1 && request.sampling.temperature == 0.0f) {
    bad_field("n", "expected 1 with temperature 0, which has one answer, got {}",
              request.num_return_sequences);
  }
  request.stop = parse_stops(fields);
  request.ignore_eos = fields.boolean("ignore_eos", false);
  request.keep_special = !fields.boolean("skip_special_tokens", true);
  if (const auto min_tokens = fields.integer("min_tokens", 0, limits.max_seq_len)) {
    request.min_new_tokens = static_cast<int>(*min_tokens);
  }
  if (auto ids = fields.token_ids("stop_token_ids")) {
    check_ids(*ids, "stop_token_ids", limits.vocab_size);
    request.stop_token_ids = std::move(*ids);
  }
  parsed.return_token_ids = fields.boolean("return_token_ids", false);
  constexpr int kMaxPriority = std::numeric_limits<int>::max();
  parsed.priority =
      static_cast<int>(fields.integer("priority", -kMaxPriority, kMaxPriority).value_or(0));
  fields.refuse("include_stop_str_in_output", "not served: stop texts are never in the output");
  fields.refuse("use_beam_search", "not served: beams are `quern run --num-beams`");
  fields.ignore({"user", "metadata", "store", "service_tier", "prompt_cache_key",
                 "prompt_cache_retention", "safety_identifier", "verbosity", "reasoning_effort",
                 "cache_prompt", "id_slot"});
  return parsed;
}

std::optional<int> parse_max_tokens(Fields& fields, const ModelLimits& limits, int fewest) {
  const auto newer = fields.integer("max_completion_tokens", fewest, kMaxTokens);
  const auto older = fields.integer("max_tokens", fewest, kMaxTokens);
  if (newer && older && newer != older) {
    bad_field("max_tokens", "{} and max_completion_tokens {} contradict each other", *older,
              *newer);
  }
  const auto given = newer ? newer : older;
  if (!given) return std::nullopt;
  // What the context has no room for ends with finish_reason "length" all the same.
  return static_cast<int>(std::min<std::int64_t>(*given, limits.max_seq_len));
}

}  // namespace quern::tools
