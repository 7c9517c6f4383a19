#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "quern/devices.h"

namespace quern::tools {

/// The processor as the system describes it.
struct CpuDescription {
  std::string model = "unknown";
  std::vector<std::string> features;  ///< those that matter to matrix products: "avx2", …
  int num_cores = 0;                  ///< 0: not told
  int num_threads = 0;
};

/// Reads what /proc/cpuinfo says; `cpuinfo` is its text.
CpuDescription describe_cpu(const std::string& cpuinfo);

/// What a report must tell for its numbers to mean something.
struct Environment {
  std::string version;
  std::string commit;
  std::string compiler;
  std::string build_type;
  std::string system;  ///< kernel and architecture
  CpuDescription cpu;
  int usable_threads = 0;  ///< of this process
  std::uint64_t memory_bytes = 0;
  std::uint64_t available_memory_bytes = 0;
  CudaEnvironment cuda;
};

/// "quern 0.1.0 (commit abc1234, GNU 12.2.0, Release)"
std::string version_line();

/// Looks at this machine and this build. Never fails: what cannot be found out is "unknown" or 0.
Environment environment();

}  // namespace quern::tools
