#include "base/system.h"

#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

namespace quern {
namespace {

constexpr std::uint64_t kUnlimited = std::numeric_limits<std::uint64_t>::max();

/// The number that starts a one-line file, or kUnlimited ("max", no such file).
std::uint64_t read_number(const char* path) {
  std::uint64_t value = 0;
  return std::ifstream(path) >> value ? value : kUnlimited;
}

}  // namespace

std::uint64_t available_host_memory() {
  std::uint64_t available = kUnlimited;
  std::ifstream meminfo("/proc/meminfo");
  for (std::string line; std::getline(meminfo, line);) {
    if (line.rfind("MemAvailable:", 0) == 0) available = std::stoull(line.substr(13)) * 1024;
  }
  const std::uint64_t limit = read_number("/sys/fs/cgroup/memory.max");
  if (limit != kUnlimited) {
    const std::uint64_t used = read_number("/sys/fs/cgroup/memory.current");
    available = std::min(available, used < limit ? limit - used : 0);
  }
  return available;
}

std::uint64_t peak_resident_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
}

int available_threads() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

}  // namespace quern
