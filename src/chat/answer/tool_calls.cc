#include "chat/answer/tool_calls.h"

#include <nlohmann/json.hpp>
#include <string>

#include "io/json/json.h"

namespace quern {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr std::size_t kMaxCallBytes = std::size_t{1} << 20;

std::string dumped(const OrderedJson& json) {
  return json.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

std::optional<ToolCall> read_tool_call(const OrderedJson& json) {
  if (!json.is_object()) return std::nullopt;
  const auto name = json.find("name");
  if (name == json.end() || !name->is_string()) return std::nullopt;
  auto arguments = json.find("arguments");
  if (arguments == json.end()) arguments = json.find("parameters");
  ToolCall call;
  call.name = name->get<std::string>();
  if (arguments == json.end()) {
    call.arguments = "{}";
  } else if (arguments->is_string()) {
    call.arguments = arguments->get<std::string>();
  } else if (arguments->is_object()) {
    call.arguments = dumped(*arguments);
  } else {
    return std::nullopt;
  }
  const auto id = json.find("id");
  if (id != json.end() && id->is_string()) call.id = id->get<std::string>();
  return call;
}

}  // namespace

std::optional<std::vector<ToolCall>> read_tool_calls(std::string_view json) {
  if (json.size() > kMaxCallBytes || json.find('\0') != std::string_view::npos) return std::nullopt;
  const OrderedJson parsed = OrderedJson::parse(json, nullptr, false);
  std::vector<ToolCall> calls;
  if (parsed.is_array()) {
    for (const OrderedJson& element : parsed) {
      auto call = read_tool_call(element);
      if (!call) return std::nullopt;
      calls.push_back(*std::move(call));
    }
  } else if (auto call = read_tool_call(parsed)) {
    calls.push_back(*std::move(call));
  }
  if (calls.empty()) return std::nullopt;
  return calls;
}

}  // namespace quern
