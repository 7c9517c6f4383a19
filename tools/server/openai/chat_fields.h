#pragma once

#include <map>
#include <optional>
#include <string>

#include "tools/chat/messages_file.h"
#include "tools/server/openai/generation_fields.h"

namespace quern::tools {

/// What a prompt is made of by a chat template.
struct TemplateFields {
  Messages messages;                             ///< as templates want them
  std::map<std::string, std::string> variables;  ///< chat_template_kwargs, as JSON
  bool add_generation_prompt = true;
  bool continue_final_message = false;
};

/// What /v1/chat/completions was asked for.
struct ChatFields : TemplateFields {
  GenerationFields generation;
};

/// The messages of a field as templates want them: text parts are joined by lines, "developer" is
/// "system", arguments of tool calls are objects. Errors: ApiError 400 naming the message and part.
Messages parse_messages(const OrderedJson& list);

/// Takes the fields of a template; tools are refused. Errors: ApiError 400 naming the field.
TemplateFields parse_template_fields(Fields& fields);

/// Errors: ApiError 400 naming the field.
ChatFields parse_chat_fields(std::string_view body, const ModelLimits& limits);

}  // namespace quern::tools
