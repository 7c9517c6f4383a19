#pragma once

#include <mutex>
#include <unordered_set>
#include <utility>

#include "quern/request.h"

namespace quern {

/// The requests that were asked to end. cancel() may come from any thread, the other calls from the
/// engine's. It holds no more ids than there are live requests.
class Cancellations {
 public:
  /// From here on until erase() the request can be cancelled.
  void add(RequestId id) {
    const std::lock_guard lock(mutex_);
    live_.insert(id);
  }
  /// The request has ended, or was never to be.
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

  /// Asks for the end of a live request; other ids are ignored.
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
