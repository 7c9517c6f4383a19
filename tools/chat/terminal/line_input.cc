#include "tools/chat/terminal/line_input.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>

#include "quern/text.h"
#include "tools/chat/terminal/edited_lines.h"
#include "tools/cli/fail.h"
#include "tools/input/text_input.h"
#include "tools/output/console.h"

namespace quern::tools {
namespace {

/// Whole lines from standard input, as a pipe or the terminal's driver gives them.
class PlainLines final : public LineInput {
 public:
  explicit PlainLines(InterruptFlag* interrupt)
      : interrupt_(interrupt), shows_prompt_(is_terminal(kStdin)) {}

  InputLine read() override {
    InputLine entry;
    const char* prompt = kChatPrompt;
    while (true) {
      if (shows_prompt_) write_stderr(prompt);
      std::string line;
      const InputLine::Kind kind = read_line(line);
      if (kind == InputLine::Kind::interrupted) return {kind, ""};
      if (kind == InputLine::Kind::end && entry.text.empty()) {
        if (shows_prompt_) write_stderr("\n");
        return {kind, ""};
      }
      entry.kind = InputLine::Kind::text;
      const bool goes_on = kind == InputLine::Kind::text && take_continuation(line);
      entry.text += line;
      if (!goes_on) break;
      entry.text += '\n';
      prompt = kContinuedPrompt;
    }
    entry.text = replace_invalid_utf8(entry.text);
    return entry;
  }

 private:
  InputLine::Kind read_line(std::string& line) {
    while (true) {
      if (const std::size_t end = pending_.find('\n'); end != std::string::npos) {
        line = pending_.substr(0, end);
        pending_.erase(0, end + 1);
        if (line.ends_with('\r')) line.pop_back();
        return InputLine::Kind::text;
      }
      if (interrupt_ != nullptr && !interrupt_->wait_for_input(kStdin)) {
        if (!interrupt_->requested()) continue;
        pending_.clear();
        return InputLine::Kind::interrupted;
      }
      std::array<char, 4096> chunk{};
      const ssize_t count = ::read(kStdin, chunk.data(), chunk.size());
      if (count > 0) {
        pending_.append(chunk.data(), static_cast<std::size_t>(count));
        if (pending_.size() > kMaxTextBytes) {
          fail(ErrorCode::bad_file, "standard input: expected lines of at most {} bytes, got more",
               kMaxTextBytes);
        }
      } else if (count == 0 || errno == EIO) {  // a terminal that is gone
        if (pending_.empty()) return InputLine::Kind::end;
        line = std::move(pending_);
        pending_.clear();
        return InputLine::Kind::text;
      } else if (errno != EINTR) {
        fail(ErrorCode::bad_file, "standard input: cannot read: {}",
             std::generic_category().message(errno));
      }
    }
  }

  InterruptFlag* interrupt_;
  bool shows_prompt_;
  std::string pending_;
};

}  // namespace

bool take_continuation(std::string& line) {
  if (!line.ends_with('\\')) return false;
  line.pop_back();
  return true;
}

std::unique_ptr<LineInput> make_line_input(InterruptFlag* interrupt) {
  if (interrupt != nullptr && is_terminal(kStdin) && takes_escapes(kStderr)) {
    if (auto lines = make_edited_lines(*interrupt)) return lines;
  }
  return std::make_unique<PlainLines>(interrupt);
}

}  // namespace quern::tools
