#pragma once

#include <cstdint>

namespace quern {

/// The place of a block of memory.
enum class DeviceKind : std::uint8_t { cpu, cuda };

struct Device {
  DeviceKind kind = DeviceKind::cpu;
  int index = 0;
  friend bool operator==(const Device&, const Device&) = default;
};

}  // namespace quern
