#include <CLI/CLI.hpp>
#include <memory>

#include "tools/output/console.h"
#include "tools/output/output_options.h"
#include "tools/quern/command.h"
#include "tools/report/environment.h"
#include "tools/report/environment_json.h"
#include "tools/report/environment_text.h"

namespace quern::tools {

Action add_env(CLI::App& app) {
  const auto output = std::make_shared<OutputOptions>();
  add_output_options(app, *output);
  return [output] {
    apply_output_options(*output);
    const Environment found = environment();
    if (output->json) {
      print_json(environment_json(found));
    } else {
      write_stdout(environment_text(found, wants_colour(kStdout)));
    }
    return ExitCode::done;
  };
}

}  // namespace quern::tools
