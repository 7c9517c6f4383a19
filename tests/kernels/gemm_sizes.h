#pragma once

#include <cstdint>

namespace quern::testing {

/// What the launchers of GEMMs are told of the GPU: so few that a block has several tiles.
inline constexpr int kGemmMultiprocessors = 8;

struct GemmSizes {
  std::int64_t num_rows;
  std::int64_t in_features;
  std::int64_t out_features;
};

}  // namespace quern::testing
