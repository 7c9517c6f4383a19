#include "tools/server/endpoints/context.h"

#include <algorithm>
#include <ctime>

#include "quern/text.h"
#include "tools/server/openai/api_error.h"

namespace quern::tools {

ApiContext::ApiContext(Service& service, const ModelInfo& model, const ServerOptions& options)
    : service_(service), model_(model), options_(options), created_(std::time(nullptr)) {
  if (model.random_weights) {
    chat_failure_ = "random weights have no chat template";
    return;
  }
  try {
    chat_format_.emplace(model, options.rendering);
  } catch (const Error& error) {
    if (options.rendering.chat_template) throw;
    chat_failure_ = without_paths(error.what());
  }
}

void ApiContext::require_ready() const {
  const ServiceState state = service_.state();
  switch (state) {
    case ServiceState::ready:
      return;
    case ServiceState::loading:
      throw ApiError(503, "the model is being loaded", "", service_state_name(state));
    case ServiceState::draining:
    case ServiceState::stopped:
      throw ApiError(503, "the server is shutting down", "", service_state_name(state));
    case ServiceState::failed:
      throw ApiError(503, "the engine has failed; the server's log says why", "",
                     service_state_name(state));
  }
}

const ModelLimits& ApiContext::limits() const {
  std::call_once(limits_known_, [&] {
    limits_.vocab_size = service_.info().vocab_size;
    limits_.max_seq_len = service_.engine_options().max_seq_len;
    Request plain;
    plain.prompt_ids = {0};
    const auto temperature = service_.resolve(plain).sampling.temperature;
    limits_.samples = temperature && *temperature > 0;
  });
  return limits_;
}

const Tokenizer* ApiContext::tokenizer() const {
  return model_.random_weights ? nullptr : &service_.tokenizer();
}

const Tokenizer& ApiContext::required_tokenizer() const {
  if (const Tokenizer* known = tokenizer()) return *known;
  throw ApiError(400, "random weights have no tokenizer: expected token ids");
}

std::string ApiContext::served_name(const std::optional<std::string>& asked) const {
  if (!asked) return model_name();
  if (std::ranges::find(options_.model_names, *asked) == options_.model_names.end()) {
    throw ApiError(404,
                   fmt::format("no model {} here; GET /v1/models lists those that are served",
                               quoted_name(*asked)),
                   "model", "model_not_found");
  }
  return *asked;
}

const ChatFormat& ApiContext::chat_format() const {
  if (chat_format_) return *chat_format_;
  throw ApiError(400, "messages: this model takes no chats: " + chat_failure_, "messages");
}

std::string ApiContext::without_paths(std::string text) const {
  const std::string folder = model_.folder.string();
  if (folder.empty()) return text;
  for (const std::string& path : {folder + "/", folder}) {
    for (std::size_t at = text.find(path); at != std::string::npos; at = text.find(path)) {
      text.erase(at, path.size());
    }
  }
  return text;
}

ChatFormat::Prompt ApiContext::chat_prompt(const TemplateFields& fields) const {
  const ChatFormat& format = chat_format();
  ChatFormat::PromptOptions own;
  own.variables = fields.variables;
  own.add_generation_prompt = fields.add_generation_prompt;
  own.continue_final_message = fields.continue_final_message;
  ChatFormat::Prompt prompt;
  try {
    prompt = format.prompt(fields.messages, required_tokenizer(), own);
  } catch (const Error& error) {
    throw ApiError(400, "messages: " + without_paths(error.what()), "messages");
  }
  check_length(prompt.ids.size(), "messages");
  return prompt;
}

std::vector<std::int32_t> ApiContext::encode(const std::string& text,
                                             const std::string& param) const {
  const Tokenizer& known = required_tokenizer();
  EncodeOptions options;
  options.max_tokens = limits().max_seq_len;
  std::vector<std::int32_t> ids;
  try {
    ids = known.encode(text, options);
  } catch (const Error& error) {
    throw ApiError(400, param + ": " + without_paths(error.what()), param);
  }
  if (ids.empty()) bad_field(param, "expected a prompt, got no token");
  return ids;
}

void ApiContext::check_length(std::size_t num_tokens, const std::string& param) const {
  const auto most = static_cast<std::size_t>(limits().max_seq_len);
  if (num_tokens <= most) return;
  throw ApiError(
      400, fmt::format("{}: the prompt has {} tokens, the context {}", param, num_tokens, most),
      param, "context_length_exceeded");
}

}  // namespace quern::tools
