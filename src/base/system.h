#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace quern {

/// Memory that the process may still take, in bytes: what the kernel calls available, less if a
/// cgroup limits it.
std::uint64_t available_host_memory();

/// The most memory that was ever resident for this process, in bytes.
std::uint64_t peak_resident_bytes();

/// Processors that this process may use, at least 1: those of its affinity mask, or fewer where a
/// cgroup grants less time than that.
int available_threads();

/// The processors that a cgroup's cpu.max grants ("quota period" in microseconds), rounded up;
/// nothing for "max" and for what cannot be read.
std::optional<int> processors_granted(const std::string& cpu_max);

}  // namespace quern
