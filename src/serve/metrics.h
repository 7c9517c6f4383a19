#pragma once

#include <mutex>

#include "quern/service.h"
#include "runtime/engine_serving.h"
#include "serve/live_request.h"

namespace quern {

/// Maintains a service's metrics: the engine's thread counts, any thread reads.
class Metrics {
 public:
  using Time = LiveRequest::Time;

  Metrics();
  ServiceMetrics snapshot() const;

  /// The counts of one step belong together: readers see all or none of them.
  class Recorder {
   public:
    explicit Recorder(Metrics& metrics) : metrics_(metrics.values_), lock_(metrics.mutex_) {}
    void use(const EngineUse& use);
    void admitted(LiveRequest& request, Time time);
    /// New output of a request, by a step that ended now.
    void output(LiveRequest& request, const Update& update, Time now);
    /// Its end; returns its times.
    RequestTimes ended(const LiveRequest& request, FinishReason reason, Time now);

   private:
    ServiceMetrics& metrics_;
    std::lock_guard<std::mutex> lock_;
  };

 private:
  mutable std::mutex mutex_;
  ServiceMetrics values_;
};

}  // namespace quern
