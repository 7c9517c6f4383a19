#include <gtest/gtest.h>

#include <ctime>
#include <string>
#include <vector>

#include "quern/chat.h"
#include "quern/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/sanitizers.h"

namespace quern {
namespace {

ChatInput hello() {
  ChatInput input;
  input.messages = R"([{"role": "user", "content": "Hi"}])";
  return input;
}

std::string render(const std::string& source, const ChatInput& input = hello()) {
  return ChatTemplate::parse(source, "t.jinja").render(input).text;
}

TEST(ChatBounds, TemplatesWithoutEndStopSoon) {
  const std::vector<std::string> sources = {
      "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
      "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
      "{% for i in range(99999) %}{% for j in range(99999) %}xxxxxxxx{% endfor %}{% endfor %}",
      "{% set n = namespace(s='aaaaaaaa') %}{% for i in range(99) %}{% set n.s = n.s + n.s %}"
      "{% endfor %}{{ n.s }}",
      "{{ 'x' * 9999999999 }}",
      "{{ range(9999999999) | list }}",
      "{% set n = namespace(l=[1]) %}{% for i in range(99) %}{% set n.l = n.l + n.l %}{% endfor %}",
      "{{ '%999999999d' | format(1) }}",
      "{{ 'a' | center(999999999) }}",
      "{{ messages | tojson(indent=999999999) }}",
      "{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}",
      "{% set n = namespace(l=[]) %}{% for i in range(99999) %}{% set n.l = [n.l] %}{% endfor %}"
      "{{ n.l }}",
      "{% for i in range(99999) %}{{ 'abc'.replace('b', 'x' * 1000) }}{% endfor %}",
      "{% set n = namespace(d={}) %}{% for i in range(99999) %}"
      "{% set n.d = dict(n.d, **{'k%d' | format(i): i}) %}{% endfor %}",
      "{% for i in range(99999) %}{{ 'a' * 10000 in 'a' * 20000 + 'b' }}{% endfor %}",
      "{% for i in range(99999) %}{{ ('a' * 10000).split('a') | join('b') | length }}{% endfor %}",
      "{{ " + std::string(100'000, '(') + "1" + std::string(100'000, ')') + " }}",
  };
  for (const std::string& source : sources) {
    SCOPED_TRACE(source.substr(0, 80));
    // CPU time, which other processes do not prolong: at most 75 ms where this was written.
    const std::clock_t begin = std::clock();
    EXPECT_THROW(render(source), Error);
    const double seconds = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    EXPECT_LT(seconds, kHasSanitizers ? 5.0 : 0.2);
  }
}

TEST(ChatBounds, ErrorsNameTheTemplateAndItsLine) {
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"t.jinja", "2"}), render("\n{% if %}"));
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"t.jinja", "3", "no such role"}),
                     render("\n\n{{ raise_exception('no such role') }}"));
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"t.jinja", "2"}),
                     render("\n{{ messages[0].nothing.at_all }}"));
  EXPECT_QUERN_ERROR(ErrorCode::unsupported, ({"t.jinja", "2", "include"}),
                     render("\n{% include 'x' %}"));
}

TEST(ChatBounds, NothingOutsideIsReachable) {
  for (const char* source : {"{{ messages.__class__ }}", "{{ ''.__class__.__mro__ }}",
                             "{% set _ = messages.append(1) %}", "{{ messages[0].pop('role') }}"}) {
    SCOPED_TRACE(source);
    try {
      const std::string text = render(source);
      EXPECT_EQ(text.find("class"), std::string::npos) << text;
      EXPECT_TRUE(text.empty()) << text;
    } catch (const Error&) {
    }
  }
}

TEST(ChatBounds, TextOfMessagesIsMarked) {
  const auto chat = ChatTemplate::parse("<s>{{ messages[0].content | upper }}</s>", "t").render([] {
    ChatInput input;
    input.messages = R"([{"role": "user", "content": "<s>a"}])";
    return input;
  }());
  EXPECT_EQ(chat.text, "<s><S>A</s>");
  ASSERT_EQ(chat.untrusted.size(), 1u);
  EXPECT_EQ(
      chat.text.substr(chat.untrusted[0].begin, chat.untrusted[0].end - chat.untrusted[0].begin),
      "<S>A");
}

TEST(ChatBounds, ChatMlIsBuiltIn) {
  const auto source = ChatTemplate::built_in("chatml");
  ASSERT_TRUE(source);
  EXPECT_EQ(render(std::string(*source)),
            "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_FALSE(ChatTemplate::built_in("no such"));
}

}  // namespace
}  // namespace quern
