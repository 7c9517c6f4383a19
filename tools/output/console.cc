#include "tools/output/console.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
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

void print_error(std::string_view message) noexcept {
  write_stderr(wants_colour(kStderr) ? "\x1b[1;31merror:\x1b[0m " : "error: ");
  // No allocation, which could fail in turn.
  std::array<char, 1024> buffer;
  std::size_t size = 0;
  const auto append = [&](std::string_view part) {
    if (size + part.size() > buffer.size()) {
      write_stderr({buffer.data(), size});
      size = 0;
    }
    std::ranges::copy(part, buffer.data() + size);
    size += part.size();
  };
  const auto byte_at = [&](std::size_t i) {
    return i < message.size() ? static_cast<unsigned char>(message[i]) : 0u;
  };
  for (std::size_t i = 0; i < message.size(); ++i) {
    // U+0080 to U+009F are control characters too: in UTF-8 0xc2 and a byte below 0xa0.
    if (byte_at(i) == 0xc2 && byte_at(i + 1) >= 0x80 && byte_at(i + 1) < 0xa0) ++i;
    const unsigned byte = byte_at(i);
    const bool is_c1 = byte >= 0x80 && byte < 0xa0 && i > 0 && byte_at(i - 1) == 0xc2;
    if (byte >= 0x20 && byte != 0x7f && !is_c1) {
      append(message.substr(i, 1));
      continue;
    }
    constexpr std::string_view kDigits = "0123456789abcdef";
    append("\\u00");
    append(kDigits.substr(byte >> 4, 1));
    append(kDigits.substr(byte & 0xf, 1));
  }
  append("\n");
  write_stderr({buffer.data(), size});
}

}  // namespace quern::tools
