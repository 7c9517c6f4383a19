#include "base/system/system.h"

#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

#include "base/system/cgroup.h"

namespace quern {
namespace {

/// MemAvailable of /proc/meminfo.
std::uint64_t available_machine_memory(const std::filesystem::path& root) {
  std::ifstream meminfo(root / "proc/meminfo");
  std::uint64_t kibibytes = 0;
  for (std::string key; meminfo >> key; meminfo.ignore(256, '\n')) {
    if (key == "MemAvailable:" && meminfo >> kibibytes) return kibibytes * 1024;
  }
  return std::numeric_limits<std::uint64_t>::max();
}

}  // namespace

std::uint64_t available_host_memory() { return available_host_memory("/"); }

std::uint64_t available_host_memory(const std::filesystem::path& root) {
  const std::uint64_t machine = available_machine_memory(root);
  return std::min(machine, cgroup_available_memory(root).value_or(machine));
}

std::uint64_t peak_resident_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

int available_threads() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  const int processors = CPU_COUNT(&set);
  return std::max(1, std::min(processors, cgroup_cpu_limit().value_or(processors)));
}

}  // namespace quern
