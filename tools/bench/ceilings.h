#pragma once

#include <string_view>

#include "quern/benchmark.h"

namespace quern::tools {

/// Measured ceilings of the device: read bandwidth and rate of matrix products.
struct Ceilings {
  double read_gbps = 0;
  double product_tflops = 0;  ///< of a large matrix product in the activation dtype
};

/// Takes some tenths of a second. Errors: those of measure_read_gbps and measure_product_tflops.
Ceilings measure_ceilings(Engine& engine);

/// The least work of a phase: bytes read once, operations of its matrix products.
struct Work {
  double bytes = 0;  ///< weights and KV cache; activations may stay in caches
  double flops = 0;

  /// By the slower of the two.
  double floor_ms(const Ceilings& ceilings) const;
  /// "bytes" or "flops", whichever that is.
  std::string_view bound(const Ceilings& ceilings) const;
};

/// The work of `num_steps` steps, each of which reads the weights, that cost `cost` together.
Work work_of(const StepCost& cost, int num_steps = 1);

}  // namespace quern::tools
