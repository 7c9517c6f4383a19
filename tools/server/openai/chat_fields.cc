#include "tools/server/openai/chat_fields.h"

#include <algorithm>
#include <array>

#include "quern/limits.h"
#include "tools/chat/json_text.h"
#include "tools/server/openai/api_error.h"

namespace quern::tools {
namespace {

constexpr std::array<std::string_view, 6> kRoles = {"system",    "developer", "user",
                                                    "assistant", "tool",      "function"};

/// The text of one part of a content.
std::string part_text(const OrderedJson& part, const std::string& path) {
  if (part.is_string()) return part.get<std::string>();
  if (!part.is_object()) bad_field(path, "expected a text part, got {}", shown_value(part));
  Fields fields(part, path);
  const std::string type = fields.text("type").value_or("");
  if (type == "text" || type == "input_text" || type == "output_text") {
    const auto text = fields.text("text");
    if (!text) bad_field(path + ".text", "missing");
    return *text;
  }
  if (type == "refusal") return fields.text("refusal").value_or("");
  if (type.empty()) bad_field(path + ".type", "expected \"text\", got nothing");
  bad_field(path, "parts of type {} are not served: this model reads text", shown_value(type));
}

OrderedJson content_of(Fields& fields, const std::string& path, bool may_be_absent) {
  const OrderedJson* content = fields.find("content");
  if (content == nullptr) {
    if (!may_be_absent) bad_field(path, "expected a text or a list of text parts, got nothing");
    return nullptr;
  }
  if (content->is_string()) return *content;
  if (!content->is_array()) {
    bad_field(path, "expected a text or a list of text parts, got {}", shown_value(*content));
  }
  std::string text;
  for (std::size_t i = 0; i < content->size(); ++i) {
    if (i > 0) text += '\n';
    text += part_text((*content)[i], fmt::format("{}[{}]", path, i));
  }
  return text;
}

/// Calls with their arguments as objects, as templates write them.
OrderedJson tool_calls_of(const OrderedJson& calls, const std::string& path) {
  if (!calls.is_array()) bad_field(path, "expected a list of calls, got {}", shown_value(calls));
  OrderedJson parsed = OrderedJson::array();
  for (const OrderedJson& call : calls) {
    const auto function = call.is_object() ? call.find("function") : call.end();
    if (!call.is_object() || function == call.end() || !function->is_object() ||
        !function->contains("name") || !(*function)["name"].is_string()) {
      bad_field(path, "expected {{\"function\": {{\"name\", \"arguments\"}}}}, got {}",
                shown_value(call));
    }
    for (const char* name : {"id", "type"}) {
      const auto text = call.find(name);
      if (text == call.end() || text->is_null() || text->is_string()) continue;
      bad_field(path, "expected a text as \"{}\" of a call, got {}", name, shown_value(*text));
    }
    parsed.push_back(call);
    const auto arguments = parsed.back()["function"].find("arguments");
    if (arguments == parsed.back()["function"].end() || !arguments->is_string()) continue;
    try {
      *arguments = parse_json_text(arguments->get_ref<const std::string&>(), path);
    } catch (const Error& error) {
      bad_field(path, "arguments are no JSON: {}", error.what());
    }
  }
  return parsed;
}

OrderedJson parse_message(const OrderedJson& message, const std::string& path) {
  Fields fields(message, path);
  std::string role = fields.text("role").value_or("");
  if (std::ranges::find(kRoles, role) == kRoles.end()) {
    bad_field(path + ".role", "expected one of {}, got {}", fmt::join(kRoles, ", "),
              shown_value(role));
  }
  if (role == "developer") role = "system";
  OrderedJson parsed = {{"role", role}};
  const OrderedJson* calls = fields.find("tool_calls");
  const bool has_calls = calls != nullptr && !(calls->is_array() && calls->empty());
  const OrderedJson content =
      content_of(fields, path + ".content", role == "assistant" && has_calls);
  parsed["content"] = content.is_null() ? OrderedJson("") : content;
  for (const char* name : {"reasoning_content", "reasoning"}) {
    const auto reasoning = fields.text(name);
    if (reasoning) parsed["reasoning_content"] = *reasoning;
  }
  for (const char* name : {"name", "tool_call_id"}) {
    if (auto text = fields.text(name)) parsed[name] = std::move(*text);
  }
  if (has_calls) parsed["tool_calls"] = tool_calls_of(*calls, path + ".tool_calls");
  return parsed;
}

void parse_logprobs(Fields& fields, Request& request) {
  const bool wanted = fields.boolean("logprobs", false);
  const auto top = fields.integer("top_logprobs", 0, kMaxTopLogprobs);
  if (top && *top > 0 && !wanted) bad_field("top_logprobs", "only with \"logprobs\": true");
  if (wanted) request.top_logprobs = static_cast<int>(top.value_or(0));
}

void parse_response_format(Fields& fields) {
  const OrderedJson* format = fields.find("response_format");
  if (format == nullptr) return;
  Fields inner(*format, "response_format");
  const std::string type = inner.text("type").value_or("");
  if (type != "text") {
    bad_field("response_format", "{} is not served yet; expected {{\"type\": \"text\"}}",
              shown_value(*format));
  }
}

void parse_tools(Fields& fields) {
  if (const OrderedJson* tools = fields.find("tools"); tools != nullptr && !tools->is_array()) {
    bad_field("tools", "expected a list, got {}", shown_value(*tools));
  }
  fields.refuse("tools", "tools are not served yet");
  fields.refuse("functions", "tools are not served yet");
  const OrderedJson* choice = fields.find("tool_choice");
  if (choice != nullptr && *choice != "none" && *choice != "auto") {
    bad_field("tool_choice", "tools are not served yet; expected \"none\" or \"auto\", got {}",
              shown_value(*choice));
  }
  fields.ignore({"parallel_tool_calls"});
}

}  // namespace

Messages parse_messages(const OrderedJson& list) {
  if (!list.is_array() || list.empty()) {
    bad_field("messages", "expected a list of messages, got {}", shown_value(list));
  }
  Messages messages;
  for (std::size_t i = 0; i < list.size(); ++i) {
    messages.push_back(parse_message(list[i], fmt::format("messages[{}]", i)));
  }
  return messages;
}

TemplateFields parse_template_fields(Fields& fields) {
  TemplateFields parsed;
  parsed.messages = parse_messages(fields.required("messages"));
  parse_tools(fields);
  if (const OrderedJson* variables = fields.find("chat_template_kwargs")) {
    const Fields checked(*variables, "chat_template_kwargs");
    for (const auto& [name, value] : variables->items()) {
      parsed.variables[name] = json_text(value);
    }
  }
  parsed.continue_final_message = fields.boolean("continue_final_message", false);
  parsed.add_generation_prompt =
      fields.boolean("add_generation_prompt", !parsed.continue_final_message);
  if (parsed.continue_final_message && parsed.add_generation_prompt) {
    bad_field("continue_final_message", "contradicts \"add_generation_prompt\": true");
  }
  return parsed;
}

ChatFields parse_chat_fields(std::string_view body, const ModelLimits& limits) {
  Fields fields(body);
  ChatFields parsed;
  static_cast<TemplateFields&>(parsed) = parse_template_fields(fields);
  parsed.generation = parse_generation_fields(fields, limits);
  Request& request = parsed.generation.request;
  request.max_new_tokens = parse_max_tokens(fields, limits).value_or(limits.max_seq_len);
  parse_logprobs(fields, request);
  parse_response_format(fields);
  for (const char* name : {"audio", "prediction", "web_search_options"}) {
    fields.refuse(name, "not served");
  }
  if (const OrderedJson* modalities = fields.find("modalities")) {
    if (*modalities != OrderedJson::array({"text"})) {
      bad_field("modalities", "expected [\"text\"], got {}", shown_value(*modalities));
    }
  }
  fields.reject_unknown();
  return parsed;
}

}  // namespace quern::tools
