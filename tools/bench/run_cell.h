#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "quern/engine.h"
#include "tools/bench/cells.h"

namespace quern::tools {

struct BenchSettings {
  int warm_up = 2;           ///< runs of each kind that are not counted
  int runs = 10;             ///< at least so many are
  double min_seconds = 0.0;  ///< and so much time
  std::uint64_t seed = 0;    ///< of the prompts' random ids
};

/// What one cell gave. Times in milliseconds.
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
  /// What a decode step in the middle of the cell needs at least, by the ceilings.
  double decode_floor_ms = 0;
  std::uint64_t launches_per_step = 0;
  std::uint64_t library_calls_per_step = 0;
  std::string loop;

  /// The value below which `fraction` of the latencies lie.
  double latency(double fraction) const;
  double prefill_median() const;
  /// Of one decode step, from the medians; 0 without decode steps.
  double decode_step() const;
  /// As TensorRT-LLM counts: all new tokens over the median latency, prefill included.
  double tokens_per_s() const;
  double prefill_tokens_per_s() const;
  /// New tokens after the first ones, over the time after them; 0 without decode steps.
  double decode_tokens_per_s() const;
};

/// True to stop before the next run.
using Interrupted = std::function<bool()>;

/// Measures one cell on an engine that has room for it. A cell that is interrupted has the runs so
/// far.
CellResult run_cell(Engine& engine, const BenchCell& cell, const BenchSettings& settings,
                    const Interrupted& interrupted);

}  // namespace quern::tools
