#include "tools/chat/terminal/answer_printer.h"

#include "tools/output/console.h"

namespace quern::tools {
namespace {

constexpr const char* kDim = "\x1b[2m";
constexpr const char* kPlain = "\x1b[0m";

}  // namespace

StreamedAnswer::StreamedAnswer(bool shows_reasoning)
    : shows_reasoning_(shows_reasoning), dims_(wants_colour(kStderr)) {}

StreamedAnswer::~StreamedAnswer() { end_reasoning(); }

void StreamedAnswer::add(const AnswerPiece& piece) {
  if (!piece.reasoning.empty() && shows_reasoning_) {
    if (!in_reasoning_) write_stderr(dims_ ? kDim : "thinking: ");
    in_reasoning_ = true;
    write_stderr(piece.reasoning);
  }
  if (piece.content.empty()) return;
  end_reasoning();
  write_stdout(piece.content);
}

void StreamedAnswer::finish() {
  end_reasoning();
  write_stdout("\n");
}

void StreamedAnswer::end_reasoning() noexcept {
  if (!in_reasoning_) return;
  in_reasoning_ = false;
  write_stderr(dims_ ? kPlain : "");
  write_stderr("\n");
}

}  // namespace quern::tools
