#include <nlohmann/json.hpp>

#include "base/error.h"
#include "io/json/json.h"
#include "quern/chat.h"
#include "quern/text.h"

namespace quern {
namespace {

using OrderedJson = nlohmann::ordered_json;

void check_text(std::string_view text, std::size_t number, const char* key) {
  if (const auto at = invalid_utf8_at(text)) {
    fail(ErrorCode::invalid_argument, "message {}: {} is not UTF-8: byte {}", number, key, *at);
  }
}

OrderedJson tool_call_to_json(const ToolCall& call, std::size_t number) {
  check_text(call.name, number, "a tool call's name");
  check_text(call.arguments, number, "a tool call's arguments");
  OrderedJson function = {{"name", call.name}};
  function["arguments"] =
      OrderedJson::parse(call.arguments.empty() ? "{}" : call.arguments, nullptr, false);
  if (function["arguments"].is_discarded()) {
    fail(ErrorCode::invalid_argument,
         "message {}: the arguments of the tool call {} are not JSON: {}", number,
         quoted_name(call.name), quoted_name(call.arguments));
  }
  OrderedJson json = OrderedJson::object();
  if (!call.id.empty()) json["id"] = call.id;
  json["type"] = "function";
  json["function"] = std::move(function);
  return json;
}

}  // namespace

std::string messages_to_json(std::span<const Message> messages) {
  OrderedJson list = OrderedJson::array();
  for (const Message& message : messages) {
    const std::size_t number = list.size() + 1;
    OrderedJson json = OrderedJson::object();
    const auto set = [&](const char* key, const std::string& text) {
      check_text(text, number, key);
      json[key] = text;
    };
    set("role", message.role);
    if (message.reasoning) set("reasoning_content", *message.reasoning);
    if (message.content) set("content", *message.content);
    for (const ToolCall& call : message.tool_calls) {
      json["tool_calls"].push_back(tool_call_to_json(call, number));
    }
    if (!message.tool_call_id.empty()) set("tool_call_id", message.tool_call_id);
    if (!message.name.empty()) set("name", message.name);
    list.push_back(std::move(json));
  }
  return list.dump();
}

}  // namespace quern
