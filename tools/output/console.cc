#include "tools/output/console.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <system_error>

#include "tools/cli/fail.h"
#include "tools/output/interrupt.h"

namespace quern::tools {
namespace {

/// Writes all of it; 0 or the errno that stopped it.
int write_all(int descriptor, std::string_view text) noexcept {
  while (!text.empty()) {
    const ssize_t written = ::write(descriptor, text.data(), text.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      return errno;
    }
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return 0;
}

}  // namespace

bool is_terminal(int descriptor) { return ::isatty(descriptor) == 1; }

bool takes_escapes(int descriptor) {
  const char* term = std::getenv("TERM");
  const bool dumb = term == nullptr || *term == '\0' || std::string_view(term) == "dumb";
  return !dumb && is_terminal(descriptor);
}

bool wants_colour(int descriptor) {
  const char* no_colour = std::getenv("NO_COLOR");
  return (no_colour == nullptr || *no_colour == '\0') && takes_escapes(descriptor);
}

std::optional<std::size_t> terminal_width(int descriptor) {
  const char* columns = std::getenv("COLUMNS");
  int width = 0;
  if (columns != nullptr) {
    const std::string_view text(columns);
    std::from_chars(text.data(), text.data() + text.size(), width);
  }
  winsize size = {};
  if (width <= 0 && ::ioctl(descriptor, TIOCGWINSZ, &size) == 0) width = size.ws_col;
  return width > 0 ? std::optional(static_cast<std::size_t>(width)) : std::nullopt;
}

void write_stdout(std::string_view text) {
  const WholeWrite whole;
  const int error = write_all(kStdout, text);
  if (error == EPIPE) throw ClosedPipe();
  if (error != 0) {
    fail(ErrorCode::bad_file, "standard output: cannot write: {}",
         std::generic_category().message(error));
  }
}

void write_stderr(std::string_view text) noexcept { write_all(kStderr, text); }

void print_error(std::string message) noexcept {
  for (char& byte : message) {
    if (byte == '\n' || byte == '\r') byte = ' ';
  }
  const bool colour = wants_colour(kStderr);
  write_stderr((colour ? "\x1b[1;31merror:\x1b[0m " : "error: ") + message + "\n");
}

}  // namespace quern::tools
