#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace quern {

/// Limits of the process's control groups, version 1 and 2: the minimum over its own group and all
/// ancestors. `root` is the folder that contains /proc and the mount points; tests pass a made-up
/// one.

/// Bytes that the process may still allocate; unset where no group limits memory. Page cache (the
/// active and inactive file pages) counts as free: the kernel reclaims it first.
std::optional<std::uint64_t> cgroup_available_memory(const std::filesystem::path& root = "/");

/// The CPU quota in CPUs, rounded up; unset where no group limits it.
std::optional<int> cgroup_cpu_limit(const std::filesystem::path& root = "/");

}  // namespace quern
