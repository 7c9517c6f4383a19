#include "tools/report/environment_text.h"

#include <fmt/format.h>

#include <optional>

#include "tools/output/text_table.h"
#include "tools/report/environment_json.h"

namespace quern::tools {
namespace {

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

}  // namespace

std::string environment_text(const Environment& found, bool colour) {
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
  return table.text(colour);
}

}  // namespace quern::tools
