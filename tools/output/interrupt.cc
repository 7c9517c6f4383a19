#include "tools/output/interrupt.h"

#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <exception>
#include <new>

#include "quern/output_file.h"
#include "tools/cli/exit_code.h"
#include "tools/output/console.h"

namespace quern::tools {
namespace {

constexpr long kMillisecond = 1'000'000;  // ns
constexpr long kGrace = 800 * kMillisecond;
constexpr long kRetry = 20 * kMillisecond;
constexpr int kMaxRetries = 10;  // for a reader that takes nothing

// A signal handler can reach nothing but globals. NOLINTBEGIN
std::atomic<bool> interrupt_requested = false;
std::atomic<int> num_interrupts = 0;  // since the flag was cleared
std::atomic<int> num_whole_writes = 0;
std::atomic<int> num_retries = 0;
std::atomic<const char*> last_words = nullptr;
timer_t deadline = {};
std::atomic<bool> has_deadline = false;
// NOLINTEND
static_assert(std::atomic<bool>::is_always_lock_free &&
              std::atomic<const char*>::is_always_lock_free);

/// Async-signal-safe, as all below that handlers call.
void start_deadline(long nanoseconds) {
  if (!has_deadline) return;  // then nothing ends what does not end by itself
  const int error = errno;
  itimerspec when = {};
  when.it_value.tv_nsec = nanoseconds;
  ::timer_settime(deadline, 0, &when, nullptr);
  errno = error;
}

void write_last_words() {
  if (const char* text = last_words) {
    [[maybe_unused]] const auto written = ::write(kStderr, text, std::strlen(text));
  }
}

/// At once, or soon where output is being written.
void end_process() {
  if (num_whole_writes > 0 && ++num_retries <= kMaxRetries) {
    start_deadline(kRetry);
    return;
  }
  write_last_words();
  quern::remove_unfinished_files();
  ::_exit(static_cast<int>(ExitCode::interrupted));
}

extern "C" void exit_at_once(int /*signal*/) {
  interrupt_requested = true;
  end_process();
}

/// Ends the program as the signal would, without leaving half-written files.
extern "C" void clean_up_and_die(int signal) {
  quern::remove_unfinished_files();
  struct sigaction action = {};
  action.sa_handler = SIG_DFL;
  sigaction(signal, &action, nullptr);
  ::raise(signal);  // which is delivered when this handler returns
}

extern "C" void note_interrupt(int signal) {
  if (interrupt_requested.exchange(true)) return clean_up_and_die(signal);
  start_deadline(kGrace);
}

extern "C" void raise_flag(int signal) {
  constexpr int kTooMany = 3;
  interrupt_requested = true;
  if (++num_interrupts == kTooMany) clean_up_and_die(signal);
}

extern "C" void exit_at_deadline(int /*signal*/) { end_process(); }

void handle(int signal, void (*handler)(int), int flags) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  sigemptyset(&action.sa_mask);
  sigaction(signal, &action, nullptr);
}

[[noreturn]] void end_by_error() {
  write_last_words();
  quern::remove_unfinished_files();
  try {
    if (std::current_exception() != nullptr) throw;
    print_error("the program ended itself");
  } catch (const std::bad_alloc&) {
    print_error("out of memory");
    ::_exit(static_cast<int>(ExitCode::failed));
  } catch (const std::exception& error) {
    print_error(error.what());
  } catch (...) {
    print_error("unknown failure");
  }
  std::abort();  // a bug, of which a core dump tells more
}

}  // namespace

void install_terminate_handler() { std::set_terminate(end_by_error); }

void install_signal_handlers() {
  handle(SIGPIPE, SIG_IGN, 0);
  handle(SIGALRM, exit_at_deadline, SA_RESTART);
  sigevent event = {};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = SIGALRM;
  has_deadline = ::timer_create(CLOCK_MONOTONIC, &event, &deadline) == 0;
  handle(SIGINT, exit_at_once, SA_RESTART);
  for (const int signal : {SIGTERM, SIGHUP}) {
    struct sigaction action = {};
    sigaction(signal, nullptr, &action);
    if (action.sa_handler != SIG_IGN) handle(signal, clean_up_and_die, 0);  // nohup ignores one
  }
}

InterruptScope::InterruptScope() {
  interrupt_requested = false;
  handle(SIGINT, note_interrupt, SA_RESTART);
}

InterruptScope::~InterruptScope() { handle(SIGINT, exit_at_once, SA_RESTART); }

bool InterruptScope::requested() const { return interrupt_requested; }

InterruptFlag::InterruptFlag() {
  clear();
  handle(SIGINT, raise_flag, 0);  // without SA_RESTART: reads end
}

InterruptFlag::~InterruptFlag() { handle(SIGINT, exit_at_once, SA_RESTART); }

bool InterruptFlag::requested() const { return interrupt_requested; }

void InterruptFlag::clear() {
  num_interrupts = 0;
  interrupt_requested = false;
}

bool InterruptFlag::wait_for_input(int descriptor) const {
  // A signal between the look at the flag and the wait must end the wait: it comes only within it.
  sigset_t blocked = {};
  sigset_t before = {};
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGINT);
  sigprocmask(SIG_BLOCK, &blocked, &before);
  pollfd input = {descriptor, POLLIN, 0};
  const bool readable = !requested() && ::ppoll(&input, 1, nullptr, &before) == 1;
  sigprocmask(SIG_SETMASK, &before, nullptr);
  return readable && !requested();
}

WholeWrite::WholeWrite() { ++num_whole_writes; }
WholeWrite::~WholeWrite() { --num_whole_writes; }

void set_last_words(const char* text) noexcept { last_words = text; }

}  // namespace quern::tools
