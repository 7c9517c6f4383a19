#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "quern/benchmark.h"
#include "quern/engine.h"
#include "tools/bench/run_cell.h"

namespace quern::tools {

/// Requests of random lengths: a number of them at once, or an open-loop load, as a server sees it,
/// with random arrival times (a Poisson process).
struct StressSettings {
  int num_requests = 0;    ///< all at once; 0: they arrive over time
  double seconds = 0;      ///< how long requests arrive
  double rate = 4;         ///< requests per second, on average
  int max_input_len = 0;   ///< prompt tokens are uniform in [1, max_input_len]
  int max_output_len = 0;  ///< new tokens are uniform in [1, max_output_len]
  int warm_up = 2;         ///< full batches before the clock starts
  std::uint64_t seed = 0;
};

/// Latencies as the clients saw them. Times in milliseconds, from when a request was due.
struct StressResult {
  double seconds = 0;  ///< from the start to the last answer's end
  std::uint64_t num_requests = 0;
  std::uint64_t num_finished = 0;  ///< fewer only when interrupted
  std::uint64_t input_tokens = 0;
  std::uint64_t output_tokens = 0;
  std::vector<double> latencies;     ///< to the last token
  std::vector<double> first_tokens;  ///< to the first token, queueing included
  std::vector<double> inter_tokens;  ///< between two tokens of a request; 0 when they came together
  std::optional<StepTimes> step_times;  ///< where the engine times its steps
};

/// Submits requests at random times, as the settings say, and runs them all. `tick` is called now
/// and then with the requests that have arrived and those that are done. Interrupted, it cancels
/// what is in flight.
StressResult run_stress(
    Engine& engine, const StressSettings& settings, const Interrupted& interrupted,
    const std::function<void(std::uint64_t come, std::uint64_t done)>& tick = {});

}  // namespace quern::tools
