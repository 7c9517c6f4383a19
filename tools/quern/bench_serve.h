#pragma once

#include "tools/quern/command.h"

namespace quern::tools {

/// `quern bench serve`: adds its options to the subcommand of `bench`.
Action add_bench_serve(CLI::App& app);

}  // namespace quern::tools
