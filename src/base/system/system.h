#pragma once

#include <cstdint>
#include <filesystem>

#include "quern/devices.h"

namespace quern {

/// The same, with /proc and /sys below `root`: for tests.
std::uint64_t available_host_memory(const std::filesystem::path& root);

/// Peak resident set size of this process in bytes.
std::uint64_t peak_resident_bytes();

}  // namespace quern
