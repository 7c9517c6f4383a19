#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "quern/export.h"

namespace quern {

/// Properties of a GPU. Clocks, ECC and power come from NVML and are unset where it is missing or
/// does not report them.
struct Gpu {
  int index = 0;  ///< CUDA's index, after CUDA_VISIBLE_DEVICES; see EngineOptions
  std::string name;
  int compute_capability_major = 0;
  int compute_capability_minor = 0;
  int num_multiprocessors = 0;
  std::uint64_t memory_bytes = 0;        ///< total
  std::optional<unsigned> sm_clock_mhz;  ///< current
  std::optional<unsigned> max_sm_clock_mhz;
  std::optional<unsigned> memory_clock_mhz;  ///< current
  std::optional<unsigned> max_memory_clock_mhz;
  std::optional<bool> ecc;
  std::optional<double> power_limit_watts;  ///< the enforced limit
};

/// CUDA in this build and on this machine.
struct CudaEnvironment {
  bool built_with_cuda = false;
  std::string toolkit_version;      ///< of the headers at build time: "12.8"; empty without
  std::string cublas_version;       ///< of the headers at build time: "12.8.4.1"; empty without
  std::string driver_version;       ///< "570.133.20"; empty without NVML
  std::string driver_cuda_version;  ///< newest CUDA that the driver supports; empty without
  std::string unavailable_reason;   ///< why the driver offers no GPU; empty when it does
  std::vector<Gpu> gpus;            ///< includes unsupported ones
};

/// Queries the build, the driver and the GPUs. The driver's libraries are loaded at run time, so
/// this also works on a machine without them and reports what is missing. Creates no CUDA context.
/// Never fails.
QUERN_API CudaEnvironment query_cuda();

/// CPUs that this process may use: its affinity mask, limited by the CPU quotas of its control
/// groups; at least 1.
QUERN_API int available_threads();

/// Memory that the process may still allocate, in bytes: MemAvailable, limited by its control
/// groups; page cache counts as available.
QUERN_API std::uint64_t available_host_memory();

}  // namespace quern
