#include "tools/chat/chat_format.h"

#include <utility>

#include "tools/chat/json_text.h"
#include "tools/cli/fail.h"
#include "tools/input/trimmed_text.h"

namespace quern::tools {
namespace {

AnswerOptions answer_options(const ChatFormat::Prompt& prompt) {
  AnswerOptions options;
  options.begins_in_reasoning = prompt.ends_in_reasoning;
  return options;
}

}  // namespace

ChatFormat::ChatFormat(const ModelInfo& model, const TemplateOptions& options)
    : options_(options),
      template_(ChatTemplate::load(model.folder, options.chat_template)),
      trims_answers_(model.chat_format == "chatml") {}

ChatFormat::Prompt ChatFormat::prompt(const Messages& messages, const Tokenizer& tokenizer) const {
  ChatInput input;
  input.messages = json_text(messages);
  input.variables = options_.variables;
  input.date = options_.date;
  const RenderedChat chat = template_.render(input);
  Prompt prompt;
  prompt.ids = template_.encode(tokenizer, chat, options_.parse_special_in_messages);
  if (prompt.ids.empty()) {
    fail(ErrorCode::invalid_argument, "{}: the template makes an empty prompt of the messages",
         template_.name());
  }
  prompt.text = chat.text;
  prompt.ends_in_reasoning = trimmed_text(chat.text).ends_with("<think>");
  return prompt;
}

AnswerText::AnswerText(const ChatFormat& format, const ChatFormat::Prompt& prompt)
    : parser_(answer_options(prompt)), trims_(format.trims_answers()) {}

AnswerPiece AnswerText::add(std::string_view text, bool ends) {
  AnswerDelta delta = parser_.push(text);
  if (ends) {
    const AnswerDelta last = parser_.finish();
    delta.content += last.content;
    delta.reasoning += last.reasoning;
  }
  return {trims_ ? trimmed(std::move(delta.content)) : std::move(delta.content),
          std::move(delta.reasoning)};
}

std::string AnswerText::trimmed(std::string text) {
  text.insert(0, std::exchange(blanks_, ""));
  const std::string_view inner = trimmed_text(text);
  if (inner.empty()) {
    if (!at_start_) blanks_ = std::move(text);
    return "";
  }
  const std::size_t begin = at_start_ ? static_cast<std::size_t>(inner.data() - text.data()) : 0;
  const auto end = static_cast<std::size_t>(inner.data() - text.data()) + inner.size();
  at_start_ = false;
  blanks_ = text.substr(end);
  return text.substr(begin, end - begin);
}

}  // namespace quern::tools
