#pragma once

#include <atomic>
#include <cstdint>

namespace quern {

/// Reads a word that a device may be writing. What the writer released with the value is seen
/// afterwards.
inline std::int64_t read_shared(const std::int64_t* word) {
  return std::atomic_ref(*const_cast<std::int64_t*>(word)).load(std::memory_order_acquire);
}

}  // namespace quern
