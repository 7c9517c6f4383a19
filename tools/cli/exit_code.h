#pragma once

namespace quern::tools {

/// How a run of the program ended; every subcommand returns one of these.
enum class ExitCode : int {
  done = 0,
  failed = 1,
  usage = 2,
  check_failed = 3,  ///< a check that was asked for did not hold
  interrupted = 130,
};

}  // namespace quern::tools
