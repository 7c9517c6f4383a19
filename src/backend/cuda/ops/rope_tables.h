#pragma once

#include <deque>

#include "backend/cuda/stream/stream.h"
#include "base/memory/buffer.h"
#include "graph/op.h"

namespace quern::cuda {

/// Inverse frequencies in device memory, computed and copied when a rope is met first, also while a
/// stream is captured: as kernel parameters they would make each launch of attention longer. Not
/// thread-safe.
class RopeTables {
 public:
  explicit RopeTables(Device device) : device_(device) {}

  /// [rotary_dim / 2] for alpha 1; behind them, for longrope, as many for other alphas. Valid as
  /// long as the tables. Errors: as allocate_device().
  const float* find(const Rope& rope);

 private:
  struct Table {
    Rope rope;
    Buffer inv_freq;
  };

  Device device_;
  Stream stream_;             ///< of the copies, which are waited for
  std::deque<Table> tables_;  ///< few: most models have one rope
};

}  // namespace quern::cuda
