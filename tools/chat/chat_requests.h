#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "quern/request.h"
#include "tools/chat/chat_format.h"
#include "tools/chat/messages_file.h"
#include "tools/generation/prompt_records.h"

namespace quern::tools {

/// A prompt as a conversation: its messages, or its text as what the user says, behind the system
/// message if there is one to put in front.
Messages conversation_of(const Prompt& prompt, const std::optional<std::string>& system);

/// What the last message says, for people.
std::string last_content(const Messages& messages);

/// The texts of several answers while they stream: of chats the content alone, with reasoning
/// apart; of other prompts all.
class AnswerTexts {
 public:
  /// Of each prompt so many answers (Update::sequence).
  explicit AnswerTexts(std::size_t num_prompts, int num_answers = 1) {
    answers_.reserve(num_prompts);
    for (std::size_t i = 0; i < num_prompts; ++i) {
      answers_.emplace_back(static_cast<std::size_t>(num_answers));
    }
  }

  /// The prompt at `index` is a chat's.
  void expect_chat(std::size_t index, const ChatFormat& format, const ChatFormat::Prompt& prompt) {
    for (Answer& answer : answers_[index]) answer.chat.emplace(format, prompt);
  }

  struct Shown {
    Update update;          ///< with the content as its text
    std::string reasoning;  ///< what is new of it
  };
  Shown shown(std::size_t index, const Update& update);
  /// The result with the contents as its texts, once its last update was shown.
  Result shown(std::size_t index, const Result& result) const;
  /// All that an answer thought, if it is a chat's and it did.
  const std::string& reasoning(std::size_t index, std::size_t answer = 0) const {
    return answers_[index][answer].reasoning;
  }

 private:
  struct Answer {
    std::optional<AnswerText> chat;
    std::string content;
    std::string reasoning;
  };
  std::vector<std::vector<Answer>> answers_;  ///< by prompt and answer
};

}  // namespace quern::tools
