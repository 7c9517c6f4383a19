#include "tools/chat/chat_requests.h"

#include "tools/chat/json_text.h"

namespace quern::tools {

Messages conversation_of(const Prompt& prompt, const std::optional<std::string>& system) {
  Messages messages;
  if (prompt.messages.empty()) {
    messages.push_back(make_message("user", prompt.text));
  } else {
    messages = messages_of(parse_json_text(prompt.messages, prompt.source), prompt.source);
  }
  if (system && messages.front()["role"] != "system") {
    messages.insert(messages.begin(), make_message("system", *system));
  }
  return messages;
}

std::string last_content(const Messages& messages) {
  const auto content = messages.back().find("content");
  if (content == messages.back().end() || content->is_null()) return "";
  return content->is_string() ? content->get<std::string>() : json_text(*content);
}

AnswerTexts::Shown AnswerTexts::shown(std::size_t index, const Update& update) {
  Shown shown{update, ""};
  Answer& answer = answers_[index][static_cast<std::size_t>(update.sequence)];
  if (!answer.chat) return shown;
  AnswerPiece piece = answer.chat->add(update.text, update.finish_reason.has_value());
  answer.content += piece.content;
  answer.reasoning += piece.reasoning;
  shown.update.text = std::move(piece.content);
  shown.reasoning = std::move(piece.reasoning);
  return shown;
}

Result AnswerTexts::shown(std::size_t index, const Result& result) const {
  Result shown = result;
  const std::vector<Answer>& answers = answers_[index];
  if (!answers.front().chat) return shown;
  shown.text = answers.front().content;
  for (std::size_t i = 0; i < shown.sequences.size(); ++i) {
    shown.sequences[i].text = answers[i].content;
  }
  return shown;
}

}  // namespace quern::tools
