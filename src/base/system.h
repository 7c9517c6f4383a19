#pragma once

#include <cstdint>

#include "quern/devices.h"

namespace quern {

/// The most memory that was ever resident for this process, in bytes.
std::uint64_t peak_resident_bytes();

}  // namespace quern
