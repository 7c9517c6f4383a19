#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "quern/engine.h"
#include "tools/chat/chat_format.h"
#include "tools/chat/messages_file.h"

namespace quern::tools {

/// Numbers of the latest answer.
struct AnswerStats {
  std::size_t prompt_tokens = 0;
  std::size_t cached_tokens = 0;  ///< of the prompt, whose keys and values were there already
  std::size_t output_tokens = 0;
  double first_token_ms = 0;
  double decode_tokens_per_s = 0;  ///< 0 for fewer than two tokens
  FinishReason finish_reason = FinishReason::stop;
  std::optional<std::uint64_t> seed;  ///< of a sampled answer
};

/// A conversation with a model. Each answer is asked for with all of the conversation that fits;
/// where it does not, the oldest turns leave, the system message stays.
class ChatSession {
 public:
  /// `request` is what all answers are asked for with, but for the prompt. Both must outlive this.
  ChatSession(Engine& engine, const ChatFormat& format, Request request)
      : engine_(&engine), format_(&format), request_(std::move(request)) {}

  struct Observers {
    std::function<void(const AnswerPiece&)> on_piece;
    std::function<void(std::size_t num_left_out)> on_left_out;  ///< when more turns leave
    std::function<bool()> interrupted;                          ///< once true, the answer ends
  };
  /// Answers a message; both are part of the conversation then. The result has the content as its
  /// text. Errors: those of the template, the tokenizer and the request, and invalid_argument for a
  /// message that does not fit with the system message; the conversation is as before then, as it
  /// is after a result that ends with an error.
  Result ask(const std::string& text, const Observers& observers);
  /// Answers the last message of the user again. Errors: as ask(); invalid_argument without one.
  Result regenerate(const Observers& observers);

  /// Drops all but the system message.
  void reset();
  /// Drops the last message of the user and what came after; returns what it said, or nothing.
  std::optional<std::string> undo();
  void set_system(const std::string& text);
  std::optional<std::string> system() const;
  void set_messages(Messages messages);
  const Messages& messages() const { return messages_; }
  Request& request() { return request_; }

  /// What the latest answer thought.
  const std::string& reasoning() const { return reasoning_; }
  const std::optional<AnswerStats>& stats() const { return stats_; }
  std::size_t num_turns() const;
  /// Turns that the latest prompt was without.
  std::size_t num_left_out() const { return num_left_out_; }
  /// Most tokens that a prompt may have so that an answer fits, too.
  std::size_t max_prompt_tokens() const;

 private:
  std::size_t num_system_messages() const;
  std::vector<std::size_t> turn_starts() const;
  Messages without_turns(std::size_t count) const;
  ChatFormat::Prompt fitting_prompt(const Observers& observers);
  Result generate(const Observers& observers);
  /// Answers `messages`, which the conversation becomes unless that fails.
  Result answer(Messages messages, const Observers& observers);
  std::ptrdiff_t end_of_last_question() const;

  Engine* engine_;
  const ChatFormat* format_;
  Request request_;
  Messages messages_;
  std::string reasoning_;
  std::optional<AnswerStats> stats_;
  std::size_t num_left_out_ = 0;
};

}  // namespace quern::tools
