// A chat template and, behind a NUL byte, the messages as JSON: the prompt must be UTF-8, its
// untrusted ranges must lie in it, ascending, and whatever the template does must end within its
// bounds.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "quern/chat.h"
#include "quern/error.h"
#include "quern/text.h"

namespace {

void check(const quern::RenderedChat& chat) {
  if (quern::invalid_utf8_at(chat.text)) __builtin_trap();
  std::size_t done = 0;
  for (const quern::TextRange& range : chat.untrusted) {
    if (range.begin < done || range.end < range.begin || range.end > chat.text.size()) {
      __builtin_trap();
    }
    done = range.end;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const std::string_view source = input.substr(0, input.find('\0'));
  const std::string_view messages = input.substr(std::min(source.size() + 1, size));
  try {
    const auto chat_template = quern::ChatTemplate::parse(source, "input");
    quern::ChatInput chat;
    chat.messages = messages.empty() ? R"([{"role": "user", "content": "a <b> \u00e9"}])"
                                     : std::string(messages);
    chat.tools = R"([{"type": "function", "function": {"name": "f", "parameters": {"a": 1}}}])";
    chat.variables = {{"bos_token", "\"<s>\""}, {"d", R"({"b": [1, 2.5, null], "a": "x"})"}};
    chat.date = "2024-07-26";
    check(chat_template.render(chat));
  } catch (const quern::Error& error) {
    if (error.code() == quern::ErrorCode::internal) __builtin_trap();
  }
  return 0;
}
