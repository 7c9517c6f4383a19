#pragma once

#include "tools/chat/chat_format.h"

namespace quern::tools {

/// Shows an answer as it streams: content on standard output; reasoning on standard error, dimmed
/// where colour is welcome and else behind "thinking:".
class StreamedAnswer {
 public:
  explicit StreamedAnswer(bool shows_reasoning);
  StreamedAnswer(const StreamedAnswer&) = delete;
  StreamedAnswer& operator=(const StreamedAnswer&) = delete;
  ~StreamedAnswer();

  void add(const AnswerPiece& piece);
  /// The end of the line.
  void finish();

 private:
  void end_reasoning() noexcept;

  bool shows_reasoning_;
  bool dims_;
  bool in_reasoning_ = false;
};

}  // namespace quern::tools
