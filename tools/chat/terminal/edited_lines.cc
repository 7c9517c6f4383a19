#include "tools/chat/terminal/edited_lines.h"

#ifdef QUERN_HAS_LIBEDIT

#include <histedit.h>
#include <langinfo.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <clocale>
#include <csignal>
#include <cstdio>
#include <cwchar>
#include <string>
#include <string_view>

#include "quern/text.h"
#include "tools/output/console.h"

namespace quern::tools {
namespace {

// Around pasted text, once a terminal is asked for them. Source: xterm's control sequences.
constexpr const char* kAskForPasteMarks = "\x1b[?2004h";
constexpr const char* kNoPasteMarks = "\x1b[?2004l";
constexpr std::wstring_view kPasteEnd = L"\x1b[201~";
constexpr int kHistorySize = 1000;

// A signal handler can reach nothing but globals.
std::atomic<bool> window_changed = false;  // NOLINT
extern "C" void note_window_change(int /*signal*/) { window_changed = true; }

/// libedit takes and shows characters as the locale says. The program's is "C" otherwise.
bool has_utf8_locale() {
  const auto is_utf8 = [] { return std::string_view(::nl_langinfo(CODESET)) == "UTF-8"; };
  if (std::setlocale(LC_CTYPE, "") != nullptr && is_utf8()) return true;
  return std::setlocale(LC_CTYPE, "C.UTF-8") != nullptr && is_utf8();
}

/// The next byte of standard input: 1, or 0 at the end, or -1 where an interrupt or error ends it.
int read_byte(EditLine* edit, const InterruptFlag& interrupt, unsigned char& byte) {
  while (true) {
    const bool readable = interrupt.wait_for_input(kStdin);
    if (interrupt.requested()) return -1;
    if (window_changed.exchange(false)) {
      el_resize(edit);
      el_set(edit, EL_REFRESH);
    }
    if (!readable) continue;
    const ssize_t count = ::read(kStdin, &byte, 1);
    if (count >= 0) return static_cast<int>(count);
    if (errno == EIO) return 0;  // the terminal is gone
    if (errno != EINTR) return -1;
  }
}

/// Lines edited as in a shell.
class EditedLines final : public LineInput {
 public:
  explicit EditedLines(InterruptFlag& interrupt) : interrupt_(&interrupt) {}
  ~EditedLines() override {
    if (edit_ != nullptr) el_end(edit_);
    if (history_ != nullptr) history_end(history_);
  }
  EditedLines(const EditedLines&) = delete;
  EditedLines& operator=(const EditedLines&) = delete;

  /// False where libedit cannot be used.
  bool open() {
    if (!has_utf8_locale()) return false;
    edit_ = el_init("quern", stdin, stderr, stderr);
    history_ = history_init();
    if (edit_ == nullptr || history_ == nullptr) return false;
    HistEvent event = {};
    history(history_, &event, H_SETSIZE, kHistorySize);
    history(history_, &event, H_SETUNIQUE, 1);
    el_set(edit_, EL_CLIENTDATA, this);
    el_set(edit_, EL_PROMPT, prompt);
    el_set(edit_, EL_EDITOR, "emacs");
    el_set(edit_, EL_HIST, history, history_);
    el_wset(edit_, EL_GETCFN, read_character);
    el_set(edit_, EL_ADDFN, "quern-paste", "Take pasted lines as one text", paste);
    el_set(edit_, EL_ADDFN, "quern-newline", "Go on in a new line", new_line);
    el_set(edit_, EL_BIND, "\\e[200~", "quern-paste", nullptr);
    el_set(edit_, EL_BIND, "\\e\\r", "quern-newline", nullptr);
    el_set(edit_, EL_BIND, "\\e\\n", "quern-newline", nullptr);
    el_set(edit_, EL_BIND, "^R", "em-inc-search-prev", nullptr);
    el_source(edit_, nullptr);  // ~/.editrc
    struct sigaction action = {};
    action.sa_handler = note_window_change;
    sigemptyset(&action.sa_mask);
    sigaction(SIGWINCH, &action, nullptr);
    return true;
  }

  InputLine read() override {
    prompt_ = kChatPrompt;
    InputLine entry{InputLine::Kind::text, ""};
    while (true) {
      std::string line;
      const InputLine::Kind kind = read_line(line);
      if (kind == InputLine::Kind::interrupted) return {kind, ""};
      if (kind == InputLine::Kind::end && entry.text.empty()) return {kind, ""};
      const bool goes_on = kind == InputLine::Kind::text && take_continuation(line);
      entry.text += line;
      if (!goes_on) break;
      entry.text += '\n';
      prompt_ = kContinuedPrompt;
    }
    entry.text = replace_invalid_utf8(entry.text);
    if (entry.text.find_first_not_of(" \t\n") != std::string::npos) {
      HistEvent event = {};
      history(history_, &event, H_ENTER, entry.text.c_str());
    }
    return entry;
  }

 private:
  static EditedLines& self(EditLine* edit) {
    void* data = nullptr;
    el_get(edit, EL_CLIENTDATA, &data);
    return *static_cast<EditedLines*>(data);
  }

  static char* prompt(EditLine* edit) { return const_cast<char*>(self(edit).prompt_); }  // NOLINT

  InputLine::Kind read_line(std::string& line) {
    // Before the prompt is there, which libedit alone would write first: keys that answer a prompt
    // must not meet the terminal's own editing, where Ctrl-D is no character.
    el_set(edit_, EL_PREP_TERM, 1);
    write_stderr(kAskForPasteMarks);
    int count = 0;
    const char* text = el_gets(edit_, &count);
    write_stderr(kNoPasteMarks);
    if (text == nullptr || count <= 0) {
      write_stderr("\n");
      return interrupt_->requested() ? InputLine::Kind::interrupted : InputLine::Kind::end;
    }
    line = text;
    if (line.ends_with('\n')) line.pop_back();
    return InputLine::Kind::text;
  }

  /// One character of UTF-8; what is none becomes U+FFFD.
  static int read_character(EditLine* edit, wchar_t* character) {
    constexpr wchar_t kReplacement = 0xFFFD;
    const InterruptFlag& interrupt = *self(edit).interrupt_;
    std::string bytes;
    unsigned char byte = 0;
    int status = read_byte(edit, interrupt, byte);
    if (status <= 0) return status;
    bytes += static_cast<char>(byte);
    const int length = byte < 0x80 ? 1 : byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
    for (int i = 1; i < length; ++i) {
      status = read_byte(edit, interrupt, byte);
      if (status <= 0) return status;
      bytes += static_cast<char>(byte);
    }
    *character = kReplacement;
    if (!invalid_utf8_at(bytes)) {
      auto code = static_cast<unsigned char>(bytes[0]) & (0xFFU >> (length == 1 ? 1 : length + 1));
      for (const char c : std::string_view(bytes).substr(1)) {
        code = code << 6U | (static_cast<unsigned char>(c) & 0x3FU);
      }
      *character = static_cast<wchar_t>(code);
    }
    return 1;
  }

  static unsigned char paste(EditLine* edit, int /*key*/) {
    std::wstring text;
    wchar_t character = 0;
    while (!text.ends_with(kPasteEnd)) {
      if (el_wgetc(edit, &character) != 1) return CC_EOF;
      // Terminals send line breaks as Enter does.
      text += character == L'\r' ? L'\n' : character;
    }
    text.resize(text.size() - kPasteEnd.size());
    while (text.ends_with(L'\n')) text.pop_back();
    if (!text.empty() && el_winsertstr(edit, text.c_str()) == -1) return CC_ERROR;
    return CC_REFRESH;
  }

  static unsigned char new_line(EditLine* edit, int /*key*/) {
    return el_winsertstr(edit, L"\n") == -1 ? CC_ERROR : CC_REFRESH;
  }

  InterruptFlag* interrupt_;
  EditLine* edit_ = nullptr;
  History* history_ = nullptr;
  const char* prompt_ = kChatPrompt;
};

}  // namespace

bool can_edit_lines() { return true; }

std::unique_ptr<LineInput> make_edited_lines(InterruptFlag& interrupt) {
  auto lines = std::make_unique<EditedLines>(interrupt);
  if (!lines->open()) return nullptr;
  return lines;
}

}  // namespace quern::tools

#else

namespace quern::tools {

bool can_edit_lines() { return false; }

std::unique_ptr<LineInput> make_edited_lines(InterruptFlag& /*interrupt*/) { return nullptr; }

}  // namespace quern::tools

#endif
