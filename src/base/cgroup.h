#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace quern {

/// What the process's control groups allow, version 1 and 2, its own group and all above it: the
/// least counts. `root` is the folder that /proc and the mount points lie in; tests make one up.

/// Bytes that the process may still take; unset where no group limits memory. Page cache (the
/// active and inactive file pages) counts as free: the kernel reclaims it before it refuses.
std::optional<std::uint64_t> cgroup_available_memory(const std::filesystem::path& root = "/");

/// Processors' worth of time that the process gets, rounded up; unset where no group limits it.
std::optional<int> cgroup_cpu_limit(const std::filesystem::path& root = "/");

}  // namespace quern
