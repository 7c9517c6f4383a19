#pragma once

#include <cstdint>
#include <filesystem>

namespace quern {

/// Memory that the process may still take, in bytes: what the kernel calls available, less if a
/// control group limits it (see cgroup.h). Tests make up a `root` with /proc and /sys in it.
std::uint64_t available_host_memory(const std::filesystem::path& root = "/");

/// The most memory that was ever resident for this process, in bytes.
std::uint64_t peak_resident_bytes();

/// Processors that this process may run on, or that its control groups give it the time of, where
/// that is less; at least 1.
int available_threads();

}  // namespace quern
