#include "tools/chat/chat_format.h"

#include <algorithm>
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

/// Ends a prompt behind the text of its last message.
void cut_behind_last(RenderedChat& chat, const Messages& messages, const std::string& name) {
  const auto content = messages.back().find("content");
  const std::string text = content != messages.back().end() && content->is_string()
                               ? std::string(trimmed_text(content->get_ref<const std::string&>()))
                               : "";
  const std::size_t at = text.empty() ? std::string::npos : chat.text.rfind(text);
  if (at == std::string::npos) {
    fail(ErrorCode::invalid_argument, "{}: the text of the last message is not in the prompt",
         name);
  }
  const std::size_t end = at + text.size();
  chat.text.resize(end);
  std::erase_if(chat.untrusted, [&](const TextRange& range) { return range.begin >= end; });
  if (!chat.untrusted.empty()) {
    chat.untrusted.back().end = std::min(chat.untrusted.back().end, end);
  }
}

}  // namespace

ChatFormat::ChatFormat(const ModelInfo& model, const TemplateOptions& options)
    : options_(options),
      template_(ChatTemplate::load(model.folder, options.chat_template)),
      trims_answers_(model.chat_format == "chatml") {}

ChatFormat::Prompt ChatFormat::prompt(const Messages& messages, const Tokenizer& tokenizer,
                                      const PromptOptions& own) const {
  ChatInput input;
  input.messages = json_text(messages);
  input.variables = own.variables;
  input.variables.insert(options_.variables.begin(), options_.variables.end());
  input.date = options_.date;
  input.add_generation_prompt = own.add_generation_prompt;
  RenderedChat chat = template_.render(input);
  if (own.continue_final_message) cut_behind_last(chat, messages, template_.name());
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
