#pragma once

#include <cstdint>

#include "kernels/common/philox.cuh"
#include "kernels/memory/random_fill.h"

namespace quern::kernels {

inline constexpr int kDrawsPerCounter = 16;

/// Draws 16 · `counter` … 16 · `counter` + 15, one per byte.
__device__ inline uint4 draw_bytes(std::uint64_t key, std::uint64_t counter) {
  return philox(
      {static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32), 0, 0},
      {static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32)});
}

/// The number for byte `byte` of a word. Product and sum are rounded separately (no FMA), as on the
/// host.
__device__ inline float random_number(const RandomFillParams& p, std::uint32_t word, int byte) {
  const auto draw = static_cast<std::int8_t>(word >> (8 * byte));
  const int integer = 2 * (draw >> (8 - p.bits)) + 1;
  return __fadd_rn(p.offset, __fmul_rn(p.scale, static_cast<float>(integer)));
}

}  // namespace quern::kernels
