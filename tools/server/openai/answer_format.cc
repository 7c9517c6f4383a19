#include "tools/server/openai/answer_format.h"

#include <fmt/format.h>

#include "quern/version.h"
#include "tools/server/openai/api_error.h"

namespace quern::tools {

const char* api_finish_reason(FinishReason reason) {
  switch (reason) {
    case FinishReason::stop:
    case FinishReason::stop_string:
      return "stop";
    case FinishReason::length:
    case FinishReason::context:
      return "length";
    case FinishReason::cancelled:
      return "abort";
    case FinishReason::error:
      return "error";
  }
  return "error";
}

OrderedJson usage_json(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", usage.cached_tokens}}}};
}

OrderedJson AnswerFormat::object(const char* name) const {
  return {{"id", head_.id},
          {"object", name},
          {"created", head_.created},
          {"model", head_.model},
          {"system_fingerprint", fmt::format("build-{}-{}", version(), commit())}};
}

bool AnswerFormat::shows(const ChoiceOutput& output) const {
  if (!output.content.empty() || !output.reasoning.empty()) return true;
  if (output.token_ids.empty()) return false;
  // An end token alone is told by finish_reason.
  return !output.finish_reason || head_.return_token_ids || head_.with_logprobs;
}

OrderedJson AnswerFormat::chunk(OrderedJson choices) const {
  OrderedJson json = object(chunk_object());
  json["choices"] = OrderedJson::array({std::move(choices)});
  if (head_.include_usage) json["usage"] = nullptr;
  return json;
}

OrderedJson AnswerFormat::usage_chunk(const Usage& usage) const {
  OrderedJson json = object(chunk_object());
  json["choices"] = OrderedJson::array();
  json["usage"] = usage_json(usage);
  return json;
}

OrderedJson AnswerFormat::whole(OrderedJson choices, const Usage& usage) const {
  OrderedJson json = object(whole_object());
  json["choices"] = std::move(choices);
  json["usage"] = usage_json(usage);
  return json;
}

std::string sse_event(const OrderedJson& json) { return "data: " + json_body(json) + "\n\n"; }

}  // namespace quern::tools
