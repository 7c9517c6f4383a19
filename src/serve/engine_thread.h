#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "quern/engine.h"
#include "quern/service.h"
#include "serve/inbox.h"
#include "serve/live_request.h"
#include "serve/metrics.h"

namespace quern {

/// The implementation of Service: an engine and the thread that loads it and steps it. Everything
/// that crosses threads is in the inbox, the channels, the metrics and the state; the engine's
/// calls, except for the checks of new requests, are the thread's own.
class EngineThread {
 public:
  /// Makes the engine, on the thread; may throw what Engine::load throws. Passes `on_load` on.
  using MakeEngine = std::function<Engine(const LoadCallback& on_load)>;

  EngineThread(MakeEngine make_engine, const ServiceOptions& options);
  EngineThread(const EngineThread&) = delete;
  EngineThread& operator=(const EngineThread&) = delete;
  /// Cancels what runs and waits for the thread.
  ~EngineThread();

  // See Service.
  ServiceState state() const;
  void wait_until_ready();
  std::string failure() const;
  std::shared_ptr<ResponseStream> submit(const Request& request, SubmitOptions options);
  void drain(std::chrono::milliseconds timeout);
  void abort();
  ServiceMetrics metrics() const;
  /// Errors: unavailable before it is ready.
  const Engine& engine() const;

 private:
  using Live = std::unordered_map<RequestId, LiveRequest>;

  void run();
  bool load();
  void serve();
  void accept(Submission submission);
  void cancel_expired();
  /// Hands out a step's output.
  void deliver(std::vector<Update> updates);
  /// Counts a step before anybody can see its output; returns the ends of the requests whose last
  /// updates are among these, in their order. `requests`: of each update.
  std::vector<Channel::End> count(std::span<const Update> updates,
                                  std::span<LiveRequest* const> requests);
  /// Refuses all further requests.
  void fail_service(const std::string& error);
  /// Ends what the engine does not end: requests that it never got.
  void end_rest(const std::string& error);
  void set_state(ServiceState state);

  const MakeEngine make_engine_;
  const ServiceOptions options_;
  std::shared_ptr<Inbox> inbox_;
  Metrics metrics_;

  mutable std::mutex mutex_;
  std::condition_variable state_changed_;
  ServiceState state_ = ServiceState::loading;
  std::exception_ptr load_error_;
  std::string failure_;
  std::optional<Engine> engine_;  ///< set once, before the state is `ready`; lives on to the end

  // The engine's thread.
  Live live_;
  std::size_t num_admitted_ = 0;  ///< of the live ones
  Submission::Time next_deadline_ = Submission::Time::max();

  std::thread thread_;  ///< the last member: it uses the others
};

}  // namespace quern
