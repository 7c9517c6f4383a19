#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "kernels/gemm/sm90/gemm_sm90.h"

namespace quern::kernels {

/// Throws DispatchError (errors.h): `gemm` has not this layout.
[[noreturn]] void throw_no_layout(const char* gemm, const GemmSm90Layout& layout);

constexpr bool operator==(const GemmSm90Layout& a, const GemmSm90Layout& b) {
  return a.width == b.width && a.pair == b.pair && a.splits == b.splits;
}

struct GemmSizes {
  std::int64_t num_rows = 0;
  std::int64_t depth_steps = 0;  ///< stages of 128 bytes of in_features
  const Epilogue& epilogue;
  int num_multiprocessors = 0;
};

/// How a layout cuts a product.
struct GemmCut {
  static constexpr std::int64_t kRows = 128;

  std::int64_t row_tiles = 0;
  std::int64_t feature_tiles = 0;
  std::int64_t depth_steps = 0;
  std::int64_t clusters_at_a_time = 0;

  GemmCut(const GemmSizes& p, const GemmSm90Layout& layout)
      : row_tiles(divide_up(p.num_rows, kRows * layout.pair)),
        feature_tiles(divide_up(p.epilogue.weight_rows(), layout.width)),
        depth_steps(p.depth_steps),
        clusters_at_a_time(std::max(p.num_multiprocessors / (layout.pair * layout.splits), 1)) {
    if (p.epilogue.gated) feature_tiles = divide_up(p.epilogue.out_features, layout.width / 2);
  }
  std::int64_t tiles() const { return row_tiles * feature_tiles; }

  /// About the cycles that it takes.
  double cost(const GemmSm90Layout& layout) const {
    constexpr double kCyclesOfColumn = 4.0;  // of 128 rows and a step
    constexpr double kCyclesOfEpilogue = 3000.0;
    const double width = layout.width + (layout.pair > 1 ? 10.0 : 15.0);
    const double steps = static_cast<double>(divide_up(depth_steps, layout.splits));
    return static_cast<double>(divide_up(tiles(), clusters_at_a_time)) *
           (steps * width * kCyclesOfColumn + kCyclesOfEpilogue * layout.splits);
  }

 private:
  static std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
};

/// The cheapest of the layouts.
inline GemmSm90Layout best_gemm_layout(const GemmSizes& p,
                                       std::span<const GemmSm90Layout> layouts) {
  const GemmSm90Layout* best = nullptr;
  double least = 0.0;
  for (const GemmSm90Layout& layout : layouts) {
    const GemmCut cut(p, layout);
    if (cut.depth_steps < layout.splits) continue;
    if (layout.pair > 1 && p.num_rows <= (layout.pair - 1) * GemmCut::kRows) continue;
    const double cost = cut.cost(layout);
    if (best == nullptr || cost < least) {
      best = &layout;
      least = cost;
    }
  }
  return *best;
}

}  // namespace quern::kernels
