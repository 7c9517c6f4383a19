#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "tools/command.h"
#include "tools/console.h"
#include "tools/environment.h"
#include "tools/json_output.h"
#include "tools/output_options.h"
#include "tools/text_table.h"

namespace quern::tools {
namespace {

OrderedJson env_json(const Environment& found) {
  return {{"version", found.version},
          {"commit", found.commit},
          {"compiler", found.compiler},
          {"build_type", found.build_type},
          {"cuda", nullptr},
          {"cublas", nullptr},
          {"driver", nullptr},
          {"gpus", OrderedJson::array()},
          {"system", found.system},
          {"cpu",
           {{"model", found.cpu.model},
            {"features", found.cpu.features},
            {"cores", found.cpu.num_cores},
            {"threads", found.cpu.num_threads},
            {"usable_threads", found.usable_threads}}},
          {"memory_bytes", found.memory_bytes},
          {"available_memory_bytes", found.available_memory_bytes},
          {"openblas", found.openblas}};
}

std::string env_text(const Environment& found, bool colour) {
  TextTable table;
  table.heading(version_line());
  table.row("build", fmt::format("{}, {}", found.build_type, found.compiler));
  table.row("CUDA", "none: this build runs on the CPU only");
  table.row("system", found.system);
  table.row("CPU", found.cpu.model);
  table.row("CPU features", fmt::format("{}", fmt::join(found.cpu.features, " ")));
  table.row("CPU cores", fmt::format("{} cores, {} threads, {} usable", found.cpu.num_cores,
                                     found.cpu.num_threads, found.usable_threads));
  table.row("memory", fmt::format("{}, {} available", human_bytes(found.memory_bytes),
                                  human_bytes(found.available_memory_bytes)));
  table.row("OpenBLAS", found.openblas);
  return table.text(colour);
}

}  // namespace

Action add_env(CLI::App& app) {
  const auto output = std::make_shared<OutputOptions>();
  add_output_options(app, *output);
  return [output] {
    apply_output_options(*output);
    const Environment found = environment();
    if (output->json) {
      print_json(env_json(found));
    } else {
      write_stdout(env_text(found, wants_colour(kStdout)));
    }
    return ExitCode::done;
  };
}

}  // namespace quern::tools
