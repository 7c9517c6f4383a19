#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace quern::tools {

/// Whoever read our standard output is gone: the program ends quietly.
class ClosedPipe : public std::runtime_error {
 public:
  ClosedPipe() : std::runtime_error("standard output was closed") {}
};

inline constexpr int kStdin = 0;
inline constexpr int kStdout = 1;
inline constexpr int kStderr = 2;

bool is_terminal(int descriptor);

/// True when escape sequences are welcome: a terminal, and neither NO_COLOR nor TERM=dumb.
bool wants_colour(int descriptor);

/// Writes all of it to standard output at once, without a buffer of our own. Errors: ClosedPipe;
/// bad_file with the reason (a full disk, …).
void write_stdout(std::string_view text);

/// Writes to standard error as far as possible.
void write_stderr(std::string_view text) noexcept;

/// Writes "error: …" to standard error, as one line whatever the message has in it.
void print_error(std::string message) noexcept;

}  // namespace quern::tools
