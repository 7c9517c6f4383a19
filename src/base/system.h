#pragma once

#include <cstdint>

namespace quern {

/// Memory that the process may still take, in bytes: what the kernel calls available, less if a
/// cgroup limits it.
std::uint64_t available_host_memory();

/// The most memory that was ever resident for this process, in bytes.
std::uint64_t peak_resident_bytes();

/// Processors that this process may run on, at least 1.
int available_threads();

}  // namespace quern
