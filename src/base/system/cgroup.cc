#include "base/system/cgroup.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <limits>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace quern {
namespace {

namespace fs = std::filesystem;

/// A control group of this process, by the mount point of its hierarchy.
struct Group {
  fs::path mount;
  fs::path folder;  ///< mount, or below it
  bool v2 = false;
};

bool contains(std::string_view list, std::string_view name) {
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    if (list.substr(begin, end - begin) == name) return true;
    begin = end + 1;
  }
  return false;
}

/// The group's path in /proc/self/cgroup, whose lines are "4:memory:/path" or, of version 2,
/// "0::/path"; unset where the process is in no such hierarchy.
std::optional<std::string> group_path(const fs::path& root, std::string_view controller) {
  std::ifstream file(root / "proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string_view controllers =
        std::string_view(line).substr(first + 1, second - first - 1);
    const bool found = controller.empty() ? controllers.empty() : contains(controllers, controller);
    if (found) return line.substr(second + 1);
  }
  return std::nullopt;
}

/// `path` as seen from a mount whose root is `mount_root` of the hierarchy. A container may see the
/// host's path of the group that it has mounted as its root; other paths are not visible.
fs::path below_mount(const fs::path& path, const fs::path& mount_root) {
  const fs::path relative = path.lexically_relative(mount_root);
  const bool is_below = !relative.empty() && *relative.begin() != "..";
  return is_below ? relative : fs::path(".");
}

/// The groups of this process that may limit `controller`: of version 1, and of version 2.
std::vector<Group> find_groups(const fs::path& root, std::string_view controller) {
  std::vector<Group> groups;
  std::ifstream file(root / "proc/self/mountinfo");
  for (std::string line; std::getline(file, line);) {
    // id, parent, device, root, mount point, options, … " - " type, source, options of the type
    const std::size_t separator = line.find(" - ");
    if (separator == std::string::npos) continue;
    std::istringstream head(line.substr(0, separator));
    std::istringstream tail(line.substr(separator + 3));
    std::string ignored, mount_root, mount, type, options;
    head >> ignored >> ignored >> ignored >> mount_root >> mount;
    tail >> type >> ignored >> options;
    const bool v2 = type == "cgroup2";
    if (!v2 && (type != "cgroup" || !contains(options, controller))) continue;
    const auto path = group_path(root, v2 ? std::string_view() : controller);
    if (!path) continue;
    Group group;
    group.mount = root / fs::path(mount).relative_path();
    group.folder = (group.mount / below_mount(*path, mount_root)).lexically_normal();
    group.v2 = v2;
    groups.push_back(group);
  }
  return groups;
}

/// The minimum of `read_limit(folder)` from the group's folder up to its mount point.
template <typename ReadLimit>
auto least_upwards(const Group& group, const ReadLimit& read_limit) {
  decltype(read_limit(group.folder)) least;
  const fs::path top = (group.mount / ".").lexically_normal().parent_path();
  for (fs::path folder = (group.folder / ".").lexically_normal().parent_path();;
       folder = folder.parent_path()) {
    const auto limit = read_limit(folder);
    if (limit && (!least || *limit < *least)) least = limit;
    if (folder == top || folder == folder.parent_path()) return least;
  }
}

template <typename T>
std::optional<T> least_of(std::optional<T> a, std::optional<T> b) {
  if (!a || !b) return a ? a : b;
  return std::min(*a, *b);
}

/// A file's leading number; unset where there is none ("max", no such file).
template <typename T>
std::optional<T> read_number(const fs::path& path) {
  T value = 0;
  std::ifstream file(path);
  if (!(file >> value)) return std::nullopt;
  return value;
}

/// The sum of these lines of a memory.stat file, each "name bytes".
std::uint64_t sum_of_lines(const fs::path& path, std::array<std::string_view, 2> names) {
  std::uint64_t sum = 0;
  std::ifstream file(path);
  std::string name;
  for (std::uint64_t value = 0; file >> name >> value;) {
    if (std::find(names.begin(), names.end(), name) != names.end()) sum += value;
  }
  return sum;
}

std::optional<std::uint64_t> available_of(const fs::path& folder, bool v2) {
  // Version 1 writes the largest multiple of a page for "no limit".
  constexpr std::uint64_t kNoLimit = std::uint64_t{1} << 62;
  const auto limit =
      read_number<std::uint64_t>(folder / (v2 ? "memory.max" : "memory.limit_in_bytes"));
  if (!limit || *limit >= kNoLimit) return std::nullopt;
  const std::uint64_t used =
      read_number<std::uint64_t>(folder / (v2 ? "memory.current" : "memory.usage_in_bytes"))
          .value_or(0);
  // Both include the child groups.
  const std::uint64_t page_cache =
      v2 ? sum_of_lines(folder / "memory.stat", {"inactive_file", "active_file"})
         : sum_of_lines(folder / "memory.stat", {"total_inactive_file", "total_active_file"});
  const std::uint64_t held = used - std::min(used, page_cache);
  return *limit - std::min(*limit, held);
}

/// CPUs, from a quota and its period in microseconds.
std::optional<int> processors(std::optional<std::int64_t> quota,
                              std::optional<std::int64_t> period) {
  if (!quota || !period || *quota <= 0 || *period <= 0) return std::nullopt;
  const std::int64_t count = *quota / *period + (*quota % *period > 0 ? 1 : 0);
  return static_cast<int>(std::min<std::int64_t>(count, std::numeric_limits<int>::max()));
}

std::optional<int> cpu_limit_of(const fs::path& folder, bool v2) {
  if (!v2) {
    return processors(read_number<std::int64_t>(folder / "cpu.cfs_quota_us"),
                      read_number<std::int64_t>(folder / "cpu.cfs_period_us"));
  }
  std::int64_t quota = 0;
  std::int64_t period = 0;
  std::ifstream file(folder / "cpu.max");  // "200000 100000" or "max 100000"
  if (!(file >> quota >> period)) return std::nullopt;
  return processors(quota, period);
}

}  // namespace

std::optional<std::uint64_t> cgroup_available_memory(const fs::path& root) {
  std::optional<std::uint64_t> least;
  for (const Group& group : find_groups(root, "memory")) {
    least = least_of(least, least_upwards(group, [&](const fs::path& folder) {
                       return available_of(folder, group.v2);
                     }));
  }
  return least;
}

std::optional<int> cgroup_cpu_limit(const fs::path& root) {
  std::optional<int> least;
  for (const Group& group : find_groups(root, "cpu")) {
    least = least_of(least, least_upwards(group, [&](const fs::path& folder) {
                       return cpu_limit_of(folder, group.v2);
                     }));
  }
  return least;
}

}  // namespace quern
