#pragma once

#include <cstddef>
#include <optional>
#include <stdexcept>
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

/// True when escape sequences move the cursor: a terminal, and TERM names one that is not dumb.
bool takes_escapes(int descriptor);

/// True when escape sequences for colour are welcome: as above, and no NO_COLOR.
bool wants_colour(int descriptor);

/// The columns of a terminal: COLUMNS, else what the driver reports, else nothing.
std::optional<std::size_t> terminal_width(int descriptor);

/// Writes all of it to standard output at once, without a buffer of our own; no interruption cuts
/// it. Errors: ClosedPipe; bad_file with the reason (a full disk, …).
void write_stdout(std::string_view text);

/// Writes to standard error as far as possible.
void write_stderr(std::string_view text) noexcept;

/// Writes "error: …" to standard error as one line: control characters of the message are escaped.
void print_error(std::string_view message) noexcept;

}  // namespace quern::tools
