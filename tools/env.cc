#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <string>

#include "tools/command.h"
#include "tools/console.h"
#include "tools/environment.h"
#include "tools/json_output.h"
#include "tools/output_options.h"
#include "tools/text_table.h"

namespace quern::tools {
namespace {

OrderedJson or_null(const std::string& text) {
  return text.empty() ? OrderedJson(nullptr) : OrderedJson(text);
}

template <typename T>
OrderedJson or_null(const std::optional<T>& value) {
  return value ? OrderedJson(*value) : OrderedJson(nullptr);
}

std::string compute_capability(const Gpu& gpu) {
  return fmt::format("{}.{}", gpu.compute_capability_major, gpu.compute_capability_minor);
}

OrderedJson gpu_json(const Gpu& gpu) {
  return {{"index", gpu.index},
          {"name", gpu.name},
          {"compute_capability", compute_capability(gpu)},
          {"num_multiprocessors", gpu.num_multiprocessors},
          {"memory_bytes", gpu.memory_bytes},
          {"sm_clock_mhz", or_null(gpu.sm_clock_mhz)},
          {"max_sm_clock_mhz", or_null(gpu.max_sm_clock_mhz)},
          {"memory_clock_mhz", or_null(gpu.memory_clock_mhz)},
          {"max_memory_clock_mhz", or_null(gpu.max_memory_clock_mhz)},
          {"ecc", or_null(gpu.ecc)},
          {"power_limit_watts", or_null(gpu.power_limit_watts)}};
}

OrderedJson env_json(const Environment& found) {
  OrderedJson gpus = OrderedJson::array();
  for (const Gpu& gpu : found.cuda.gpus) gpus.push_back(gpu_json(gpu));
  return {{"version", found.version},
          {"commit", found.commit},
          {"compiler", found.compiler},
          {"build_type", found.build_type},
          {"cuda", or_null(found.cuda.toolkit_version)},
          {"cublas", or_null(found.cuda.cublas_version)},
          {"driver", or_null(found.cuda.driver_version)},
          {"driver_cuda", or_null(found.cuda.driver_cuda_version)},
          {"no_gpu_reason", or_null(found.cuda.unavailable_reason)},
          {"gpus", std::move(gpus)},
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

/// "345 of 1980 MHz", "unknown" where NVML does not tell.
std::string clock_text(const std::optional<unsigned>& now, const std::optional<unsigned>& most) {
  const auto text = [](const std::optional<unsigned>& mhz) {
    return mhz ? std::to_string(*mhz) : std::string("unknown");
  };
  return fmt::format("{} of {} MHz", text(now), text(most));
}

void add_cuda_rows(const CudaEnvironment& cuda, TextTable& table) {
  const std::string built =
      cuda.built_with_cuda
          ? fmt::format("built with {}, cuBLAS {}", cuda.toolkit_version,
                        cuda.cublas_version.empty() ? "unknown" : cuda.cublas_version)
          : std::string("not built in");
  table.row("CUDA", built);
  if (!cuda.driver_version.empty()) {
    table.row("driver",
              fmt::format("{}, up to CUDA {}", cuda.driver_version, cuda.driver_cuda_version));
  }
  if (!cuda.unavailable_reason.empty()) table.row("GPU", "none: " + cuda.unavailable_reason);
  for (const Gpu& gpu : cuda.gpus) {
    table.row(fmt::format("GPU {}", gpu.index),
              fmt::format("{}, compute capability {}, {} multiprocessors, {}", gpu.name,
                          compute_capability(gpu), gpu.num_multiprocessors,
                          human_bytes(gpu.memory_bytes)));
    table.row("  clocks",
              fmt::format("SM {}, memory {}", clock_text(gpu.sm_clock_mhz, gpu.max_sm_clock_mhz),
                          clock_text(gpu.memory_clock_mhz, gpu.max_memory_clock_mhz)));
    table.row("  ECC", gpu.ecc ? (*gpu.ecc ? "on" : "off") : "unknown");
    table.row("  power limit", gpu.power_limit_watts
                                   ? fmt::format("{:.0f} W", *gpu.power_limit_watts)
                                   : std::string("unknown"));
  }
}

std::string env_text(const Environment& found, bool colour) {
  TextTable table;
  table.heading(version_line());
  add_cuda_rows(found.cuda, table);
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
