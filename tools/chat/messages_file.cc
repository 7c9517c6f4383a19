#include "tools/chat/messages_file.h"

#include "quern/text.h"
#include "tools/chat/json_text.h"
#include "tools/cli/fail.h"
#include "tools/input/text_input.h"
#include "tools/output/write_file.h"

namespace quern::tools {
namespace {

void check_message(const OrderedJson& message, const std::string& place) {
  if (!message.is_object()) {
    fail(ErrorCode::bad_file, "{}: expected a message, an object, got {}", place,
         message.type_name());
  }
  const auto role = message.find("role");
  if (role == message.end() || !role->is_string()) {
    fail(ErrorCode::bad_file, "{}: key 'role': expected a text, got {}", place,
         role == message.end() ? "nothing" : role->type_name());
  }
}

}  // namespace

OrderedJson make_message(const std::string& role, const std::string& content) {
  return {{"role", role}, {"content", content}};
}

Messages messages_of(const OrderedJson& list, const std::string& place) {
  if (!list.is_array() || list.empty()) {
    fail(ErrorCode::bad_file, "{}: expected a list of messages, got {}", place,
         list.is_array() ? "an empty one" : list.type_name());
  }
  Messages messages;
  for (const OrderedJson& message : list) {
    check_message(message, fmt::format("{}: message {}", place, messages.size() + 1));
    messages.push_back(message);
  }
  return messages;
}

MessagesFile read_messages_file(const std::string& file) {
  const std::string text = read_utf8_file(file);
  const std::string name = input_name(file);
  const OrderedJson document = parse_json_text(text, name);
  MessagesFile read;
  if (!document.is_object()) {
    read.messages = json_text(messages_of(document, name));
    return read;
  }
  for (const auto& [key, value] : document.items()) {
    if (key == "messages") {
      read.messages = json_text(messages_of(value, name + ": key 'messages'"));
    } else if (key == "tools") {
      if (!value.is_null()) read.tools = json_text(value);
    } else {
      fail(ErrorCode::bad_file, "{}: key {}: expected 'messages' and 'tools' alone", name,
           quoted_name(key));
    }
  }
  if (read.messages.empty()) fail(ErrorCode::bad_file, "{}: key 'messages' is missing", name);
  return read;
}

Messages read_message_lines(const std::string& file) {
  const std::string whole = read_utf8_file(file);
  std::string_view text = whole;
  Messages messages;
  for (int line_number = 1; !text.empty(); ++line_number) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string place = fmt::format("{}:{}", input_name(file), line_number);
    messages.push_back(parse_json_text(line, place));
    check_message(messages.back(), place);
  }
  return messages;
}

void write_message_lines(const Messages& messages, const std::string& file) {
  std::string text;
  for (const OrderedJson& message : messages) text += json_line(message);
  write_file(file, text);
}

}  // namespace quern::tools
