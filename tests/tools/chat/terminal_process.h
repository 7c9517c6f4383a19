#pragma once

#include <sys/types.h>

#include <string>
#include <utility>
#include <vector>

namespace quern::testing {

/// How a program on a terminal is started; its environment has no other NO_COLOR, COLUMNS, ….
struct TerminalOptions {
  std::vector<std::string> arguments;  ///< argv[0] left out
  std::vector<std::pair<std::string, std::string>> environment = {{"TERM", "xterm"}};
  unsigned short columns = 80;
};

/// The built `quern` on a pseudo-terminal of its own, which controls it: Ctrl-C typed there is a
/// signal, as a user's is. Killed after 60 seconds.
class TerminalProcess {
 public:
  explicit TerminalProcess(const TerminalOptions& options);
  TerminalProcess(const TerminalProcess&) = delete;
  TerminalProcess& operator=(const TerminalProcess&) = delete;
  ~TerminalProcess();

  void type(const std::string& keys) const;
  /// Waits for `text` behind what was waited for before; false where the program ends or time is
  /// up first.
  bool wait_for(const std::string& text);
  /// All that the terminal was sent.
  const std::string& output() const { return output_; }
  /// What it was sent since the last wait_for() matched.
  std::string rest() const { return output_.substr(seen_); }
  void resize(unsigned short columns) const;
  /// Reads to the end and waits for the program: its exit code, or -1 when a signal ended it.
  int finish();

 private:
  bool pump();

  pid_t id_ = -1;
  int terminal_ = -1;
  std::string output_;
  std::size_t seen_ = 0;
  long long deadline_ms_ = 0;
};

}  // namespace quern::testing
