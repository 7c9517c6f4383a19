#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "backend/backend.h"
#include "backend/cuda/stream.h"

namespace quern::cuda {

/// Marks by events. The stream outlives it.
std::unique_ptr<Stopwatch> make_stopwatch(const Stream& stream);

/// The best of some passes of reads over `memory`, in GB/s. Errors: device.
double measure_read_gbps(std::span<const std::byte> memory, std::uint32_t* scratch,
                         int num_multiprocessors, const Stream& stream);

}  // namespace quern::cuda
