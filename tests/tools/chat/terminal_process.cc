#include "tests/tools/chat/terminal_process.h"

#include <poll.h>
#include <pty.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <stdexcept>

#include "tests/tools/quern/child_process.h"

namespace quern::testing {
namespace {

long long clock_ms() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

}  // namespace

TerminalProcess::TerminalProcess(const TerminalOptions& options) {
  constexpr long long kLimitMs = 60000;
  deadline_ms_ = clock_ms() + kLimitMs;
  winsize size = {};
  size.ws_row = 24;
  size.ws_col = options.columns;
  id_ = ::forkpty(&terminal_, nullptr, nullptr, &size);
  if (id_ < 0) throw std::runtime_error("cannot make a terminal");
  if (id_ > 0) return;
  for (const char* name : {"QUERN_MODEL", "NO_COLOR", "COLUMNS", "LINES", "HF_HOME", "LC_ALL"}) {
    ::unsetenv(name);
  }
  // No ~/.editrc of whoever runs the tests.
  ::setenv("HOME", "/nonexistent", 1);
  execute_quern(options.arguments, options.environment);
}

TerminalProcess::~TerminalProcess() {
  if (id_ > 0) {
    ::kill(id_, SIGKILL);
    ::waitpid(id_, nullptr, 0);
  }
  if (terminal_ >= 0) ::close(terminal_);
}

void TerminalProcess::type(const std::string& keys) const {
  std::size_t done = 0;
  while (done < keys.size()) {
    const ssize_t count = ::write(terminal_, keys.data() + done, keys.size() - done);
    if (count < 0 && errno != EINTR) throw std::runtime_error("cannot type");
    if (count > 0) done += static_cast<std::size_t>(count);
  }
}

bool TerminalProcess::pump() {
  const long long left_ms = deadline_ms_ - clock_ms();
  if (terminal_ < 0 || left_ms <= 0) return false;
  pollfd stream = {terminal_, POLLIN, 0};
  if (::poll(&stream, 1, static_cast<int>(left_ms)) <= 0) return true;
  std::array<char, 4096> chunk{};
  const ssize_t count = ::read(terminal_, chunk.data(), chunk.size());
  if (count > 0) {
    output_.append(chunk.data(), static_cast<std::size_t>(count));
  } else if (count == 0 || errno != EINTR) {  // a terminal whose other end closed gives EIO
    ::close(terminal_);
    terminal_ = -1;
  }
  return true;
}

bool TerminalProcess::wait_for(const std::string& text) {
  while (true) {
    if (const std::size_t at = output_.find(text, seen_); at != std::string::npos) {
      seen_ = at + text.size();
      return true;
    }
    if (!pump()) return false;
  }
}

void TerminalProcess::resize(unsigned short columns) const {
  winsize size = {};
  size.ws_row = 24;
  size.ws_col = columns;
  ::ioctl(terminal_, TIOCSWINSZ, &size);  // which sends SIGWINCH
}

int TerminalProcess::finish() {
  while (pump() && terminal_ >= 0) {
  }
  if (clock_ms() >= deadline_ms_) ::kill(id_, SIGKILL);
  int status = 0;
  ::waitpid(id_, &status, 0);
  id_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace quern::testing
