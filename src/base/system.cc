#include "base/system.h"

#include <sched.h>
#include <sys/resource.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <sstream>

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
  int threads = std::max(1, CPU_COUNT(&set));
  std::string cpu_max;
  std::getline(std::ifstream("/sys/fs/cgroup/cpu.max"), cpu_max);
  if (const auto granted = processors_granted(cpu_max)) threads = std::min(threads, *granted);
  return threads;
}

std::optional<int> processors_granted(const std::string& cpu_max) {
  std::istringstream words(cpu_max);
  std::int64_t quota_us = 0;
  std::int64_t period_us = 0;
  if (!(words >> quota_us >> period_us) || quota_us <= 0 || period_us <= 0) return std::nullopt;
  const std::int64_t processors = (quota_us - 1) / period_us + 1;
  return static_cast<int>(std::min<std::int64_t>(processors, std::numeric_limits<int>::max()));
}

}  // namespace quern
