#include "tests/tools/quern/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <stdexcept>

#include "tests/support/sanitizers.h"

namespace quern::testing {
namespace {

long long now_ms() {
  const auto now = std::chrono::steady_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

void require(bool condition, const char* what) {
  if (!condition) throw std::runtime_error(std::string("cannot ") + what);
}

struct Pipe {
  int reader = -1;
  int writer = -1;
};

Pipe make_pipe() {
  std::array<int, 2> ends{};
  require(::pipe2(ends.data(), O_CLOEXEC) == 0, "make a pipe");
  return {ends[0], ends[1]};
}

/// A pseudo terminal: `reader` is our end, `writer` the child's.
Pipe make_terminal() {
  const int ours = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  require(ours >= 0 && ::grantpt(ours) == 0 && ::unlockpt(ours) == 0, "make a terminal");
  const int theirs = ::open(::ptsname(ours), O_RDWR | O_NOCTTY | O_CLOEXEC);
  require(theirs >= 0, "open a terminal");
  return {ours, theirs};
}

/// A file that holds the input, so that no one has to feed the child.
int input_file(const std::string& input) {
  std::FILE* file = std::tmpfile();
  require(file != nullptr, "make a temporary file");
  std::fwrite(input.data(), 1, input.size(), file);
  std::rewind(file);
  const int descriptor = ::fcntl(::fileno(file), F_DUPFD_CLOEXEC, 0);
  std::fclose(file);
  return descriptor;
}

/// A pipe that holds the input already.
int input_pipe(const std::string& input) {
  const Pipe pipe = make_pipe();
  const ssize_t written = ::write(pipe.writer, input.data(), input.size());
  require(written == static_cast<ssize_t>(input.size()), "fill a pipe");
  ::close(pipe.writer);
  return pipe.reader;
}

[[noreturn]] void become_quern(const ChildOptions& options, int in, int out, int err) {
  ::dup2(in, STDIN_FILENO);
  if (!options.output_file.empty()) out = ::open(options.output_file.c_str(), O_WRONLY);
  ::dup2(out, STDOUT_FILENO);
  ::dup2(err, STDERR_FILENO);
  ::signal(SIGINT, SIG_DFL);
  for (const char* name : {"QUERN_MODEL", "NO_COLOR", "HF_HOME", "HF_HUB_CACHE", "COLUMNS"})
    ::unsetenv(name);
  execute_quern(options.arguments, options.environment);
}

/// Appends what `descriptor` has; closes it at its end.
void take(int& descriptor, std::string& text) {
  std::array<char, 4096> chunk{};
  const ssize_t count = ::read(descriptor, chunk.data(), chunk.size());
  if (count > 0) {
    text.append(chunk.data(), static_cast<std::size_t>(count));
  } else if (count == 0 || errno != EINTR) {  // a terminal whose other end closed gives EIO
    ::close(descriptor);
    descriptor = -1;
  }
}

}  // namespace

void execute_quern(const std::vector<std::string>& arguments,
                   const std::vector<std::pair<std::string, std::string>>& environment) {
  for (const auto& [name, value] : environment) ::setenv(name.c_str(), value.c_str(), 1);
  std::string program = QUERN_PROGRAM;
  std::vector<std::string> copies = arguments;
  std::vector<char*> argv = {program.data()};
  for (std::string& argument : copies) argv.push_back(argument.data());
  argv.push_back(nullptr);
  ::execv(program.c_str(), argv.data());
  ::_exit(127);
}

ChildProcess::ChildProcess(const ChildOptions& options) {
  constexpr long long kLimitMs = kHasSanitizers ? 300000 : 60000;
  deadline_ms_ = now_ms() + kLimitMs;
  const Pipe out = make_pipe();
  const Pipe err = options.terminal_errors ? make_terminal() : make_pipe();
  int in = -1;
  if (options.terminal_input) {
    const Pipe terminal = make_terminal();
    input_ = terminal.reader;
    in = terminal.writer;
  } else {
    in = options.pipe_input ? input_pipe(options.input) : input_file(options.input);
  }
  id_ = ::fork();
  require(id_ >= 0, "fork");
  if (id_ == 0) become_quern(options, in, out.writer, err.writer);
  ::close(in);
  ::close(out.writer);
  ::close(err.writer);
  out_ = out.reader;
  err_ = err.reader;
}

ChildProcess::~ChildProcess() {
  if (id_ > 0) {
    ::kill(id_, SIGKILL);
    ::waitpid(id_, nullptr, 0);
  }
  for (const int descriptor : {out_, err_, input_}) {
    if (descriptor >= 0) ::close(descriptor);
  }
}

bool ChildProcess::pump() {
  std::array<pollfd, 2> streams = {{{out_, POLLIN, 0}, {err_, POLLIN, 0}}};
  const long long left_ms = deadline_ms_ - now_ms();
  if ((out_ < 0 && err_ < 0) || left_ms <= 0) return false;
  ::poll(streams.data(), streams.size(), static_cast<int>(left_ms));
  if (out_ >= 0 && streams[0].revents != 0) take(out_, result_.out);
  if (err_ >= 0 && streams[1].revents != 0) take(err_, result_.err);
  return true;
}

void ChildProcess::wait_for_output(std::size_t count) {
  while (out_ >= 0 && result_.out.size() < count && pump()) {
  }
}

void ChildProcess::wait_for_errors(const std::string& text) {
  while (err_ >= 0 && result_.err.find(text) == std::string::npos && pump()) {
  }
}

void ChildProcess::close_output() {
  ::close(out_);
  out_ = -1;
}

void ChildProcess::send(int signal) { ::kill(id_, signal); }

ChildResult ChildProcess::finish() {
  while (pump()) {
  }
  if (now_ms() >= deadline_ms_) ::kill(id_, SIGKILL);
  int status = 0;
  require(::waitpid(id_, &status, 0) == id_, "wait for the child");
  id_ = -1;
  if (WIFEXITED(status)) result_.exit_code = WEXITSTATUS(status);
  if (WIFSIGNALED(status)) result_.signal = WTERMSIG(status);
  // A program says once, first of all, why it falls back to the CPU of this machine.
  for (const char* start :
       {"warning: CUDA cannot be used: ", "warning: this build of Quern is without CUDA"}) {
    if (result_.err.starts_with(start)) result_.err.erase(0, result_.err.find('\n') + 1);
  }
  return result_;
}

ChildResult run_child(const ChildOptions& options) { return ChildProcess(options).finish(); }

ChildResult run_quern(std::vector<std::string> arguments, std::string input) {
  ChildOptions options;
  options.arguments = std::move(arguments);
  options.input = std::move(input);
  return run_child(options);
}

}  // namespace quern::testing
