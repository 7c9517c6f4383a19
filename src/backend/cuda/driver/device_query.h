#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace quern {

/// What is known of one GPU. Clocks, ECC and power come from NVML and are unset where it is missing
/// or does not tell.
struct Gpu {
  int index = 0;  ///< as CUDA counts, CUDA_VISIBLE_DEVICES applied
  std::string name;
  int compute_capability_major = 0;
  int compute_capability_minor = 0;
  int num_multiprocessors = 0;
  std::uint64_t memory_bytes = 0;
  std::optional<unsigned> sm_clock_mhz;  ///< now
  std::optional<unsigned> max_sm_clock_mhz;
  std::optional<unsigned> memory_clock_mhz;  ///< now
  std::optional<unsigned> max_memory_clock_mhz;
  std::optional<bool> ecc;
  std::optional<double> power_limit_watts;  ///< the limit in force
};

/// CUDA in this build and on this machine.
struct CudaEnvironment {
  bool built_with_cuda = false;
  std::string toolkit_version;      ///< of the headers built with: "12.8"; empty without
  std::string cublas_version;       ///< of the headers built with: "12.8.4.1"; empty without
  std::string driver_version;       ///< "570.133.20"; empty without NVML
  std::string driver_cuda_version;  ///< the newest CUDA that the driver runs: "12.8"; empty without
  std::string unavailable_reason;   ///< why there is no GPU to use; empty when there is one
  std::vector<Gpu> gpus;
};

/// Looks at the build, the driver and the GPUs. The driver's libraries are opened at run time, so
/// this works, and says what is missing, on a machine without them. Never fails.
CudaEnvironment query_cuda();

/// The same without what only NVML tells: driver_version and a GPU's clocks, ECC and power limit.
/// Faster by some 10 ms.
CudaEnvironment query_cuda_driver();

/// The GPU of that index, if kernels of ours run on it. Errors: device when there is none, with the
/// reason; invalid_argument for another index; unsupported for a GPU older than sm_80.
const Gpu& usable_gpu(const CudaEnvironment& environment, int index);

}  // namespace quern
