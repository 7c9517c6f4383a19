#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "quern/chat.h"
#include "quern/engine.h"
#include "quern/tokenizer.h"
#include "tools/chat/messages_file.h"
#include "tools/chat/template_options.h"

namespace quern::tools {

/// Conversations as a model wants them: its template, and how its answers are read.
class ChatFormat {
 public:
  /// Errors: those of ChatTemplate::load.
  ChatFormat(const ModelInfo& model, const TemplateOptions& options);

  struct Prompt {
    std::string text;
    std::vector<std::int32_t> ids;
    bool ends_in_reasoning = false;  ///< with <think>: the answer goes on there
  };
  /// What one conversation wants of its own.
  struct PromptOptions {
    std::map<std::string, std::string> variables;  ///< as JSON, in place of those of all
    bool add_generation_prompt = true;
    /// Ends behind the text of the last message, which the answer goes on with; without a
    /// generation prompt.
    bool continue_final_message = false;
  };
  /// The prompt that asks for the next message. Errors: those of ChatTemplate::render and encode;
  /// invalid_argument when there is nothing in it, and where the last message to continue is not
  /// in what the template writes.
  Prompt prompt(const Messages& messages, const Tokenizer& tokenizer,
                const PromptOptions& own) const;
  Prompt prompt(const Messages& messages, const Tokenizer& tokenizer) const {
    return prompt(messages, tokenizer, PromptOptions());
  }

  /// True where answers are shown without the white space around them, as the first Qwen's chat()
  /// gives them.
  bool trims_answers() const { return trims_answers_; }

 private:
  TemplateOptions options_;
  ChatTemplate template_;
  bool trims_answers_ = false;
};

/// A piece of an answer: what is said, and what is thought before.
struct AnswerPiece {
  std::string content;
  std::string reasoning;
};

/// Takes an answer apart while it streams; the pieces together do not depend on how it is cut.
class AnswerText {
 public:
  AnswerText(const ChatFormat& format, const ChatFormat::Prompt& prompt);

  /// The next text, and with `ends` the last of it.
  AnswerPiece add(std::string_view text, bool ends);

 private:
  std::string trimmed(std::string text);

  AnswerParser parser_;
  bool trims_;
  bool at_start_ = true;
  std::string blanks_;  ///< white space that something may follow
};

}  // namespace quern::tools
