#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "quern/request.h"
#include "runtime/engine_serving.h"
#include "serve/channel.h"

namespace quern {

/// A request on its way to the engine's thread.
struct Submission {
  using Time = std::chrono::steady_clock::time_point;

  PreparedRequest request;
  std::shared_ptr<Channel> channel;
  Time submitted;
  std::optional<Time> deadline;
};

/// What is to become of a service, in ascending order of urgency.
enum class Order {
  serve,
  drain,  ///< finish all requests, then stop
  abort,  ///< cancel them, then stop
};

/// What other threads want of the engine's thread: new requests, cancellations, the order to stop.
/// The number of requests that wait, here and in the engine, is bounded.
class Inbox {
 public:
  explicit Inbox(std::size_t max_waiting) : max_waiting_(max_waiting) {}

  // Any thread.
  /// Errors: unavailable unless it is open; queue_full.
  void check_open() const;
  /// Errors: the same.
  void add(Submission submission);
  void cancel(RequestId id);
  /// Takes no more requests. A lesser order than the present one has no effect.
  void give(Order order);
  Order order() const;
  /// Sequences of requests that the engine has not taken yet.
  std::size_t num_waiting() const;

  // The engine's thread.
  /// Whether there is a request to be taken. Does not lock.
  bool has_submissions() const { return has_submissions_.load(std::memory_order_relaxed); }
  struct Mail {
    std::vector<Submission> submissions;
    std::vector<RequestId> cancelled;
    Order order = Order::serve;
  };
  /// Takes all; with `idle` waits until there is something.
  Mail take(bool idle);
  /// Accepts requests from now on, unless an order was given.
  void open(std::size_t num_free_rows);
  /// The engine failed: later requests are refused with this reason.
  void close(const std::string& reason);
  /// What the engine holds after a step: further requests may wait up to the limit, and as many as
  /// there are free rows beyond it.
  void set_engine_queue(std::size_t num_waiting, std::size_t num_free_rows);

 private:
  void check(const std::unique_lock<std::mutex>&) const;

  const std::size_t max_waiting_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Mail mail_;
  std::atomic<bool> has_submissions_ = false;
  std::size_t engine_waiting_ = 0;
  std::size_t num_free_rows_ = 0;
  std::string closed_ = "the model is being loaded";  ///< why; empty: open
  bool failed_ = false;
};

}  // namespace quern
