#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <vector>

#include "quern/service.h"

namespace quern {

/// The output of one request on its way from the engine's thread to whoever reads it. Updates that
/// nobody has taken are joined, one for each answer: memory is bounded by the request's own limits.
class Channel {
 public:
  /// How a request ended.
  struct End {
    Result result;
    RequestTimes times;
  };

  explicit Channel(std::function<void()> on_output) : on_output_(std::move(on_output)) {}

  // The engine's thread.
  /// Appends an update, then calls `on_output`. False where that threw.
  bool put(Update update);
  /// The same with the last update; `on_output` is dropped then.
  bool end(Update update, End end);

  // Any thread; see ResponseStream.
  std::vector<Update> take();
  std::vector<Update> wait();
  bool ended() const;
  Result result() const;
  RequestTimes times() const;

 private:
  void join(Update&& update);
  bool notify(const std::function<void()>& on_output);

  std::function<void()> on_output_;  ///< used by the engine's thread alone
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::vector<Update> pending_;
  std::optional<End> end_;
};

}  // namespace quern
