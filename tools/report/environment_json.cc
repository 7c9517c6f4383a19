#include "tools/report/environment_json.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

namespace quern::tools {
namespace {

OrderedJson or_null(const std::string& text) {
  return text.empty() ? OrderedJson(nullptr) : OrderedJson(text);
}

template <typename T>
OrderedJson or_null(const std::optional<T>& value) {
  return value ? OrderedJson(*value) : OrderedJson(nullptr);
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

}  // namespace

std::string compute_capability(const Gpu& gpu) {
  return fmt::format("{}.{}", gpu.compute_capability_major, gpu.compute_capability_minor);
}

OrderedJson environment_json(const Environment& found) {
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
          {"available_memory_bytes", found.available_memory_bytes}};
}

}  // namespace quern::tools
