#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace quern::testing {

/// How a child is started. It sees no QUERN_MODEL, HF_HOME, NO_COLOR or COLUMNS but those given
/// here.
struct ChildOptions {
  std::vector<std::string> arguments;  ///< argv[0] left out
  std::string input;                   ///< its standard input
  std::vector<std::pair<std::string, std::string>> environment;
  bool terminal_input = false;   ///< standard input is a terminal that nobody types on
  bool pipe_input = false;       ///< the input, of at most 64 KiB, comes by a pipe, not from a file
  bool terminal_errors = false;  ///< standard error is a terminal
  std::string output_file;       ///< where standard output goes instead of to us
};

/// Becomes the program under test: after a fork, in the child.
[[noreturn]] void execute_quern(
    const std::vector<std::string>& arguments,
    const std::vector<std::pair<std::string, std::string>>& environment);

/// How a child ended and what it said.
struct ChildResult {
  int exit_code = -1;  ///< -1 when a signal ended it
  int signal = 0;      ///< which one
  std::string out;
  std::string err;
};

/// The built `quern` as a child process. Killed after 60 seconds, with sanitizers 300.
class ChildProcess {
 public:
  explicit ChildProcess(const ChildOptions& options);
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  ~ChildProcess();

  /// Waits until standard output has at least `count` bytes, or ended.
  void wait_for_output(std::size_t count);
  /// Waits until standard error has `text` in it, or ended.
  void wait_for_errors(const std::string& text);
  /// Closes our end of its standard output.
  void close_output();
  void send(int signal);
  /// Reads its output to the end and waits for it. `err` lacks the one warning of a
  /// machine whose GPU is not there, or not for this build.
  ChildResult finish();

 private:
  /// Takes what has come on either stream; false when both have ended or time is up.
  bool pump();

  pid_t id_ = -1;
  int out_ = -1;
  int err_ = -1;
  int input_ = -1;  ///< the far end of a terminal that stands for its standard input
  ChildResult result_;
  long long deadline_ms_ = 0;
};

/// Runs `quern` to its end.
ChildResult run_child(const ChildOptions& options);
ChildResult run_quern(std::vector<std::string> arguments, std::string input = "");

}  // namespace quern::testing
