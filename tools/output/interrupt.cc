#include "tools/output/interrupt.h"

#include <unistd.h>

#include <csignal>

#include "tools/cli/exit_code.h"

namespace quern::tools {
namespace {

// A signal handler can reach nothing but a global.
volatile std::sig_atomic_t interrupt_requested = 0;  // NOLINT

extern "C" void exit_at_once(int /*signal*/) { ::_exit(static_cast<int>(ExitCode::interrupted)); }

extern "C" void note_interrupt(int /*signal*/) { interrupt_requested = 1; }

void handle(int signal, void (*handler)(int), int flags) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  sigemptyset(&action.sa_mask);
  sigaction(signal, &action, nullptr);
}

}  // namespace

void install_signal_handlers() {
  handle(SIGPIPE, SIG_IGN, 0);
  handle(SIGINT, exit_at_once, 0);
}

InterruptScope::InterruptScope() {
  interrupt_requested = 0;
  // SA_RESETHAND brings the deadly default back for the second signal.
  handle(SIGINT, note_interrupt, static_cast<int>(SA_RESETHAND) | SA_RESTART);
}

InterruptScope::~InterruptScope() { handle(SIGINT, exit_at_once, 0); }

bool InterruptScope::requested() const { return interrupt_requested != 0; }

}  // namespace quern::tools
