#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "quern/export.h"

namespace quern {

/// What is known of one GPU. Clocks, ECC and power come from NVML and are unset where it is missing
/// or does not say.
struct Gpu {
  int index = 0;  ///< as CUDA counts, with CUDA_VISIBLE_DEVICES applied; see EngineOptions
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
  std::string toolkit_version;      ///< of the headers built with: "12.8"; empty without
  std::string cublas_version;       ///< of the headers built with: "12.8.4.1"; empty without
  std::string driver_version;       ///< "570.133.20"; empty without NVML
  std::string driver_cuda_version;  ///< the newest CUDA that the driver runs: "12.8"; empty without
  std::string unavailable_reason;   ///< why the driver offers no GPU; empty when it does
  std::vector<Gpu> gpus;            ///< also those too old for Quern
};

/// Queries the build, the driver and the GPUs. The driver's libraries are opened at run time, so
/// this works, and says what is missing, on a machine without them. Creates no CUDA context.
/// Never fails.
QUERN_API CudaEnvironment query_cuda();

/// Processors that this process may run on, or that its control groups' CPU quotas pay for where
/// that is less; at least 1.
QUERN_API int available_threads();

/// Memory that the process may still take, in bytes: what the kernel calls available, less if a
/// control group limits it; page cache counts as available.
QUERN_API std::uint64_t available_host_memory();

}  // namespace quern
