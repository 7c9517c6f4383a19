#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "quern/benchmark.h"
#include "quern/engine.h"
#include "tools/bench/run_cell.h"

namespace quern::tools {

/// Requests of random lengths: a number of them at once, or as to a server, by themselves at random
/// times, independent of each other.
struct StressSettings {
  int num_requests = 0;    ///< at once; 0: they come by themselves
  double seconds = 0;      ///< for so long they come
  double rate = 4;         ///< so many a second, on average
  int max_input_len = 0;   ///< a prompt has from 1 to so many tokens, each number as likely
  int max_output_len = 0;  ///< likewise an answer
  int warm_up = 2;         ///< full batches before it begins
  std::uint64_t seed = 0;
};

/// What those who sent the requests saw. Times in milliseconds, from when a request was due.
struct StressResult {
  double seconds = 0;  ///< from the start to the last answer's end
  std::uint64_t num_requests = 0;
  std::uint64_t num_finished = 0;  ///< fewer only when interrupted
  std::uint64_t input_tokens = 0;
  std::uint64_t output_tokens = 0;
  std::vector<double> latencies;     ///< to the last token
  std::vector<double> first_tokens;  ///< to the first, so waiting for a place counts
  std::vector<double> inter_tokens;  ///< between two tokens of an answer; 0 when they came together
  std::optional<StepTimes> step_times;  ///< where the engine times its steps
};

/// Lets requests come, as the settings say, and answers them all. `tick` is called now and then
/// with the requests that have come and those that are done. Interrupted, it cancels what is under
/// way.
StressResult run_stress(
    Engine& engine, const StressSettings& settings, const Interrupted& interrupted,
    const std::function<void(std::uint64_t come, std::uint64_t done)>& tick = {});

}  // namespace quern::tools
