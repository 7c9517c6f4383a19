#pragma once

#include <stdexcept>

namespace quern::tools {

/// Makes SIGINT end the process with exit code 130, and a closed pipe an error of write() instead
/// of a signal. Neither SIGINT nor SIGTERM and SIGHUP leave the temporary files of an OutputFile.
/// For the start of main().
void install_signal_handlers();

/// Makes memory that runs out where no exception may leave, as in destructors of JSON values, an
/// error like any other: one line, exit code 1, no temporary files. For the start of main().
void install_terminate_handler();

/// While one lives, the first SIGINT only sets a flag, so that what was generated so far can be
/// printed. If the process has not ended 0.8 s later, in a long step for example, it is ended with
/// exit code 130; a second SIGINT kills at once.
class InterruptScope {
 public:
  InterruptScope();
  ~InterruptScope();
  InterruptScope(const InterruptScope&) = delete;
  InterruptScope& operator=(const InterruptScope&) = delete;

  /// True after the first SIGINT.
  bool requested() const;
};

/// While one lives, SIGINT only sets a flag and ends a read that waits: for a program that goes on
/// after it. The third one without a clear() between ends the process as the signal would.
class InterruptFlag {
 public:
  InterruptFlag();
  ~InterruptFlag();
  InterruptFlag(const InterruptFlag&) = delete;
  InterruptFlag& operator=(const InterruptFlag&) = delete;

  bool requested() const;
  void clear();
  /// Waits until `descriptor` can be read, or is at its end; false where the flag is set, or
  /// another signal came, also one that came just before.
  bool wait_for_input(int descriptor) const;
};

/// Ends work that has nothing to show yet after a SIGINT: exit code 130 without a message.
class InterruptedError : public std::runtime_error {
 public:
  InterruptedError() : std::runtime_error("interrupted") {}
};

/// While one lives, an interruption does not end the process, unless the reader takes nothing for
/// 0.2 s: for output that is whole or not there.
class WholeWrite {
 public:
  WholeWrite();
  ~WholeWrite();
  WholeWrite(const WholeWrite&) = delete;
  WholeWrite& operator=(const WholeWrite&) = delete;
};

/// What to write to standard error if an interruption ends the process from now on: takes a
/// progress bar off the screen. A literal, or null for nothing.
void set_last_words(const char* text) noexcept;

}  // namespace quern::tools
