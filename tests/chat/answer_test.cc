#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "quern/chat.h"

namespace quern {
namespace {

/// What an answer is taken apart into, in pieces of `step` bytes.
struct Answer {
  std::string content;
  std::string reasoning;
  std::string calls;  ///< name(arguments);

  Answer(std::string_view text, const AnswerOptions& options, std::size_t step) {
    AnswerParser parser(options);
    for (std::size_t i = 0; i < text.size(); i += step) add(parser.push(text.substr(i, step)));
    add(parser.finish());
  }
  void add(const AnswerDelta& delta) {
    content += delta.content;
    reasoning += delta.reasoning;
    for (const ToolCall& call : delta.tool_calls) calls += call.name + "(" + call.arguments + ");";
  }
};

struct Case {
  ToolCallFormat format;
  std::string text;
  std::string content;
  std::string reasoning;
  std::string call;  ///< its name
};

TEST(AnswerParser, TakesReasoningAndCallsApartHoweverTheTextIsCut) {
  const Case cases[] = {
      {ToolCallFormat::none, "plain <b>text</b>", "plain <b>text</b>", "", ""},
      {ToolCallFormat::none, "<think>\nhm\n</think>\n\nyes", "yes", "hm", ""},
      {ToolCallFormat::none, "<tool_call>{}</tool_call>", "<tool_call>{}</tool_call>", "", ""},
      {ToolCallFormat::hermes,
       "<think>\nhm\n</think>\n\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": "
       "\"</tool_call>\"}}\n</tool_call>",
       "", "hm", "f"},
      {ToolCallFormat::llama3, "{\"name\": \"f\", \"parameters\": {\"x\": 1}}", "", "", "f"},
      {ToolCallFormat::llama3, "{\"no\": 1}", "{\"no\": 1}", "", ""},
      {ToolCallFormat::mistral, "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {}}]", "", "", "f"},
      {ToolCallFormat::mistral, "[TOOL_CALLS", "[TOOL_CALLS", "", ""},
  };
  for (const Case& c : cases) {
    for (const std::size_t step : {std::size_t{1}, std::size_t{2}, std::size_t{7}, c.text.size()}) {
      SCOPED_TRACE(c.text + ", " + std::to_string(step));
      AnswerOptions options;
      options.tool_calls = c.format;
      const Answer answer(c.text, options, step);
      EXPECT_EQ(answer.content, c.content);
      EXPECT_EQ(answer.reasoning, c.reasoning);
      EXPECT_EQ(answer.calls.substr(0, answer.calls.find('(')), c.call);
    }
  }
}

TEST(AnswerParser, MayBeginInReasoning) {
  AnswerOptions options;
  options.begins_in_reasoning = true;
  const Answer answer("hm</think>yes", options, 3);
  EXPECT_EQ(answer.reasoning, "hm");
  EXPECT_EQ(answer.content, "yes");
}

}  // namespace
}  // namespace quern
