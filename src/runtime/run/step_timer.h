#pragma once

#include <memory>
#include <vector>

#include "backend/backend.h"
#include "graph/step.h"
#include "quern/benchmark.h"

namespace quern {

/// Measures on the device how long the launched steps run, and how long it idles before each.
class StepTimer {
 public:
  explicit StepTimer(Backend& backend);
  StepTimer(const StepTimer&) = delete;
  StepTimer& operator=(const StepTimer&) = delete;

  /// Before and after the launch of a batch's step, or of a loop of them.
  void begin(const BatchView& batch);
  void end();
  /// Of what was launched since the last call; waits for it.
  StepTimes take();

 private:
  struct Launch {
    bool decodes = false;
    bool prefills = false;
    int num_tokens = 0;
  };
  void restart();
  void collect();
  StepTimes::Kind& kind_of(const Launch& launch);

  std::unique_ptr<Stopwatch> stopwatch_;
  std::vector<Launch> launches_;  ///< since the stopwatch was started
  StepTimes times_;
};

}  // namespace quern
