#pragma once

namespace quern::tools {

/// Makes SIGINT end the process with exit code 130, and a closed pipe an error of write() instead
/// of a signal. For the start of main().
void install_signal_handlers();

/// While one lives, the first SIGINT only sets a flag, so that what was generated so far can be
/// printed; the second kills.
class InterruptScope {
 public:
  InterruptScope();
  ~InterruptScope();
  InterruptScope(const InterruptScope&) = delete;
  InterruptScope& operator=(const InterruptScope&) = delete;

  /// True after the first SIGINT.
  bool requested() const;
};

}  // namespace quern::tools
