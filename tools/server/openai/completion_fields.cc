#include "tools/server/openai/completion_fields.h"

#include <algorithm>

#include "quern/limits.h"
#include "tools/server/openai/api_error.h"

namespace quern::tools {
namespace {

constexpr int kDefaultMaxTokens = 16;
constexpr std::size_t kMaxPrompts = 2048;

CompletionPrompt prompt_of(const OrderedJson& value, const std::string& path, int vocab_size) {
  CompletionPrompt prompt;
  if (value.is_string()) {
    prompt.text = value.get<std::string>();
    if (prompt.text.empty()) bad_field(path, "expected a prompt, got an empty text");
    return prompt;
  }
  prompt.ids = token_ids_of(value, path);
  if (prompt.ids.empty()) bad_field(path, "expected a prompt, got an empty list");
  const std::int32_t largest = *std::ranges::max_element(prompt.ids);
  if (largest >= vocab_size) {
    bad_field(path, "token id {} is outside of the vocabulary, which has {}", largest, vocab_size);
  }
  return prompt;
}

std::vector<CompletionPrompt> parse_prompts(const OrderedJson& value, int vocab_size) {
  const bool is_list_of_prompts =
      value.is_array() && !value.empty() && (value[0].is_string() || value[0].is_array());
  if (!is_list_of_prompts) {
    if (!value.is_string() && !value.is_array()) {
      bad_field("prompt", "expected a text, token ids or a list of these, got {}",
                shown_value(value));
    }
    return {prompt_of(value, "prompt", vocab_size)};
  }
  if (value.size() > kMaxPrompts) {
    bad_field("prompt", "expected at most {} prompts, got {}", kMaxPrompts, value.size());
  }
  std::vector<CompletionPrompt> prompts;
  for (std::size_t i = 0; i < value.size(); ++i) {
    if (value[i].type() != value[0].type()) {
      bad_field("prompt", "expected texts or lists of token ids, not both, got {}",
                shown_value(value));
    }
    prompts.push_back(prompt_of(value[i], fmt::format("prompt[{}]", i), vocab_size));
  }
  return prompts;
}

}  // namespace

CompletionFields parse_completion_fields(std::string_view body, const ModelLimits& limits) {
  Fields fields(body);
  CompletionFields parsed;
  parsed.prompts = parse_prompts(fields.required("prompt"), limits.vocab_size);
  parsed.generation = parse_generation_fields(fields, limits);
  Request& request = parsed.generation.request;
  const int max_tokens = parse_max_tokens(fields, limits, 0).value_or(kDefaultMaxTokens);
  parsed.only_prompt = max_tokens == 0;
  request.max_new_tokens = std::max(max_tokens, 1);
  if (const auto top = fields.integer("logprobs", 0, kMaxTopLogprobs)) {
    request.top_logprobs = static_cast<int>(*top);
  }
  parsed.echo = fields.boolean("echo", false);
  if (parsed.echo) request.prompt_logprobs = request.top_logprobs;
  if (const auto best_of = fields.integer("best_of", 1, kMaxReturnSequences);
      best_of && *best_of != request.num_return_sequences) {
    bad_field("best_of", "expected n, {}, got {}", request.num_return_sequences, *best_of);
  }
  if (const auto suffix = fields.text("suffix"); suffix && !suffix->empty()) {
    bad_field("suffix", "not served: the model only continues texts");
  }
  fields.refuse("response_format", "not served for completions");
  fields.reject_unknown();
  return parsed;
}

}  // namespace quern::tools
