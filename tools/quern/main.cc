#include <string>
#include <vector>

#include "tools/output/interrupt.h"
#include "tools/quern/program.h"

int main(int argc, char** argv) {
  quern::tools::install_terminate_handler();
  quern::tools::install_signal_handlers();
  const std::vector<std::string> arguments(argv + 1, argv + (argc > 0 ? argc : 1));
  return static_cast<int>(quern::tools::run_program(arguments));
}
