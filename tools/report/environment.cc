#include "tools/report/environment.h"

#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string_view>
#include <utility>

#include "quern/version.h"

namespace quern::tools {
namespace {

constexpr std::array<std::string_view, 16> kNotableFeatures = {
    "sse4_2",   "avx",      "f16c",     "fma",         "avx2",        "avx_vnni",
    "avx512f",  "avx512bw", "avx512vl", "avx512_vnni", "avx512_bf16", "avx512_fp16",
    "amx_bf16", "amx_int8", "asimdhp",  "sve"};

std::string read_whole(const char* path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

/// "key   : value" as a pair; both empty for another line.
std::pair<std::string, std::string> split_line(const std::string& line) {
  const std::size_t colon = line.find(':');
  if (colon == std::string::npos) return {};
  const std::size_t key_end = line.find_last_not_of(" \t", colon - std::min<std::size_t>(colon, 1));
  const std::size_t value_begin = line.find_first_not_of(" \t", colon + 1);
  if (key_end == std::string::npos || value_begin == std::string::npos) return {};
  return {line.substr(0, key_end + 1), line.substr(value_begin)};
}

std::vector<std::string> notable_features(const std::string& flags) {
  std::istringstream words(flags);
  const std::set<std::string> present{std::istream_iterator<std::string>(words), {}};
  std::vector<std::string> features;
  for (const std::string_view feature : kNotableFeatures) {
    if (present.count(std::string(feature)) != 0) features.emplace_back(feature);
  }
  return features;
}

std::string system_name() {
  utsname names = {};
  if (::uname(&names) != 0) return "unknown";
  return fmt::format("{} {} {}", names.sysname, names.release, names.machine);
}

std::uint64_t total_memory() {
  const long pages = ::sysconf(_SC_PHYS_PAGES);
  const long page_bytes = ::sysconf(_SC_PAGESIZE);
  if (pages <= 0 || page_bytes <= 0) return 0;
  return static_cast<std::uint64_t>(pages) * static_cast<std::uint64_t>(page_bytes);
}

}  // namespace

CpuDescription describe_cpu(const std::string& cpuinfo) {
  CpuDescription cpu;
  std::set<std::pair<std::string, std::string>> cores;
  std::string package;
  std::istringstream lines(cpuinfo);
  for (std::string line; std::getline(lines, line);) {
    auto [key, value] = split_line(line);
    if (key == "processor") {
      ++cpu.num_threads;
    } else if (key == "model name") {
      cpu.model = value;
    } else if (key == "physical id") {
      package = value;
    } else if (key == "core id") {
      cores.emplace(package, value);
    } else if ((key == "flags" || key == "Features") && cpu.features.empty()) {
      cpu.features = notable_features(value);
    }
  }
  cpu.num_cores = static_cast<int>(cores.size());
  return cpu;
}

std::string version_line() {
  return fmt::format("quern {} (commit {}, {}, {})", version(), commit(), QUERN_COMPILER,
                     QUERN_BUILD_TYPE);
}

Environment environment() {
  Environment found;
  found.version = version();
  found.commit = commit();
  found.compiler = QUERN_COMPILER;
  found.build_type = QUERN_BUILD_TYPE;
  found.system = system_name();
  found.cpu = describe_cpu(read_whole("/proc/cpuinfo"));
  found.usable_threads = available_threads();
  found.memory_bytes = total_memory();
  found.available_memory_bytes = available_host_memory();
  found.cuda = query_cuda();
  return found;
}

}  // namespace quern::tools
