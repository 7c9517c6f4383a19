#pragma once

#include <atomic>
#include <cstdint>

namespace quern {

/// Load-acquires a word that a device may be writing.
inline std::int64_t read_shared(const std::int64_t* word) {
  return std::atomic_ref(*const_cast<std::int64_t*>(word)).load(std::memory_order_acquire);
}

}  // namespace quern
