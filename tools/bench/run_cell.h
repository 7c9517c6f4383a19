#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "quern/engine.h"
#include "tools/bench/ceilings.h"
#include "tools/bench/cells.h"

namespace quern::tools {

struct BenchSettings {
  int warm_up = 2;           ///< runs of each kind that are not counted
  int runs = 10;             ///< the least number of timed runs
  double min_seconds = 0.0;  ///< the least time of all timed runs of a kind
  std::uint64_t seed = 0;    ///< of the prompts' random ids
};

/// The memory that a cell uses. Activations and workspace are planned for the whole sweep.
struct CellMemory {
  std::uint64_t weight_bytes = 0;
  std::uint64_t kv_cache_bytes = 0;  ///< of the cell's sequences
  std::uint64_t activation_bytes = 0;
  std::uint64_t workspace_bytes = 0;
  /// What was in use beyond the plan: CUDA's context, kernels, recordings; on the CPU the rest of
  /// the process.
  std::uint64_t context_bytes = 0;
  std::uint64_t peak_bytes = 0;  ///< so far, see Timing
};

/// Figures of a phase that are not shown, because what was measured cannot be.
struct Withheld {
  std::string_view phase;  ///< "prefill", "decode"
  std::string reason;
};

/// What one cell gave. Times in milliseconds. A figure that does not exist, or that is impossible
/// and so withheld, is unset.
struct CellResult {
  BenchCell cell;
  std::string skipped;  ///< why it did not run; empty: it did
  std::vector<double> latencies;
  /// Of the same prompts with one new token each: the time to the first tokens.
  std::vector<double> prefills;
  // Per run, of the counted runs:
  double steps_run = 0;
  double stop_checks = 0;
  double host_syncs = 0;
  Ceilings ceilings;
  Work prefill_work;  ///< of all prompts
  Work decode_work;   ///< of a step in the middle of the cell
  CellMemory memory;
  std::uint64_t launches_per_step = 0;
  std::uint64_t dependent_launches_per_step = 0;
  std::uint64_t library_calls_per_step = 0;
  LoopRunner loop = LoopRunner::host;

  /// The value below which `fraction` of the latencies lie.
  double latency(double fraction) const;
  double prefill_median() const;
  /// Of one decode step, from the medians; unset without decode steps and where the runs with all
  /// new tokens took no longer than those with one.
  std::optional<double> decode_step() const;
  /// As TensorRT-LLM counts: all new tokens over the median latency, prefill included.
  double tokens_per_s() const;
  double prefill_tokens_per_s() const;
  /// New tokens after the first ones, over the time after them; unset where decode_step() is.
  std::optional<double> decode_tokens_per_s() const;
  double prefill_floor_ms() const { return prefill_work.floor_ms(ceilings); }
  /// Of a decode step.
  double decode_floor_ms() const { return decode_work.floor_ms(ceilings); }
  /// Unset where decode_share_of_floor() is.
  std::optional<double> above_floor_us() const;
  /// The floor over what was measured. Unset above 1, but for what the ceilings vary from run to
  /// run: then the floor does not hold.
  std::optional<double> prefill_share_of_floor() const;
  std::optional<double> decode_share_of_floor() const;

  /// What is withheld, and why.
  std::vector<Withheld> withheld() const;
};

/// True to stop: before the next run, and within one after its next tokens.
using Interrupted = std::function<bool()>;

/// How run_cell() is watched.
struct CellObservers {
  Interrupted interrupted;
  std::function<void()> on_run;  ///< after each run, warm-up included
};

/// Measures one cell on an engine that has room for it, and compares it with the ceilings. A cell
/// that is interrupted has the whole runs so far, or is skipped where there are none.
CellResult run_cell(Engine& engine, const BenchCell& cell, const BenchSettings& settings,
                    const Ceilings& ceilings, const CellObservers& observers);

}  // namespace quern::tools
