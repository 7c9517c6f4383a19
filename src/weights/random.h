#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/dtype.h"

namespace quern {

/// Random numbers for elements first, first + stride, … of a weight: offset + scale * x with x
/// uniform over the odd integers below 2^bits in magnitude. Element `first` gets the key's draw
/// number `source`, the next that of source + stride, and so on: a number depends only on key and
/// position. With power-of-two scales, up to eight bits and no offset, the numbers are exact in
/// float32, float16 and bfloat16; all steps are exact, so all devices generate the same.
/// Source: Philox (base/philox.h); draw n is byte n % 16 of the words of counter n / 16.
struct RandomRun {
  std::uint64_t key = 0;
  std::int64_t first = 0;
  std::int64_t source = 0;
  std::int64_t stride = 1;
  std::int64_t count = 0;
  float offset = 0.0f;
  float scale = 1.0f;
  int bits = 8;  ///< 1 to 8

  /// The sub-run of `num` elements from the `begin`-th on.
  RandomRun part(std::int64_t begin, std::int64_t num) const {
    RandomRun run = *this;
    run.first += begin * stride;
    run.source += begin * stride;
    run.count = num;
    return run;
  }
};

/// The key of a weight, from its name (FNV-1a).
std::uint64_t random_key(std::uint64_t seed, std::string_view weight_name);

/// Fills the run's elements of the weight at `weight`, float32, float16 or bfloat16, in host
/// memory.
void fill_random(const RandomRun& run, DType dtype, std::byte* weight);

}  // namespace quern
