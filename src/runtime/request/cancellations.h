#pragma once

#include <mutex>
#include <unordered_set>
#include <utility>

#include "quern/request.h"

namespace quern {

/// Cancelled requests. cancel() is thread-safe, the other calls are the engine thread's. It holds
/// no more ids than there are live requests.
class Cancellations {
 public:
  /// Makes the request cancellable until erase().
  void add(RequestId id) {
    const std::lock_guard lock(mutex_);
    live_.insert(id);
  }
  /// The request has ended, or was refused.
  void erase(RequestId id) {
    const std::lock_guard lock(mutex_);
    live_.erase(id);
    cancelled_.erase(id);
  }
  void clear() {
    const std::lock_guard lock(mutex_);
    live_.clear();
    cancelled_.clear();
  }

  /// Cancels a live request; other ids are ignored.
  void cancel(RequestId id) {
    const std::lock_guard lock(mutex_);
    if (live_.contains(id)) cancelled_.insert(id);
  }
  /// The live requests that were cancelled since the last call.
  std::unordered_set<RequestId> take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(cancelled_, {});
  }

 private:
  std::mutex mutex_;
  std::unordered_set<RequestId> live_, cancelled_;
};

}  // namespace quern
