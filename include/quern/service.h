#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "quern/engine.h"
#include "quern/export.h"
#include "quern/request.h"

// Serving: an engine on a thread of its own, to which any thread submits requests.

namespace quern {

struct ServiceOptions {
  /// Requests that may wait for the engine, beyond those for which rows are free; a further one is
  /// refused.
  std::size_t max_queue = 1024;
  /// Time limit of a request from its submission, unless it has one of its own; it then ends with
  /// FinishReason::cancelled. 0: none.
  std::chrono::milliseconds request_timeout{0};
};

enum class ServiceState {
  loading,  ///< weights are being loaded; no requests yet
  ready,
  draining,  ///< requests finish, new ones are refused
  failed,    ///< loading failed, or the device; all requests have ended with an error
  stopped,
};

/// "loading", "ready", "draining", "failed", "stopped".
QUERN_API const char* service_state_name(ServiceState state);

struct SubmitOptions {
  int priority = 0;  ///< requests with a lower value are admitted first, as vLLM's `priority`
  std::optional<std::chrono::milliseconds> timeout;  ///< see ServiceOptions::request_timeout
  /// Called on the engine's thread when the stream has something new, and at its end; must return
  /// soon. It may submit and cancel, but not wait for a stream, drain or end the service. It is
  /// dropped after the end, and may hold the stream's last reference; its last call may come when
  /// result() has returned already. An exception cancels the request.
  std::function<void()> on_output;
};

/// Where a request's time went; a part that was not reached is 0.
struct RequestTimes {
  double queue_ms = 0;    ///< submit to admission, by the first step that computes it
  double prefill_ms = 0;  ///< from there to the first token
  double decode_ms = 0;   ///< first to last token
  double total_ms = 0;    ///< submit to the end
};

/// The output of one submitted request. Thread-safe. Dropping the last reference before the end
/// cancels the request.
class QUERN_API ResponseStream {
 public:
  virtual ~ResponseStream() = default;
  /// The new output since the last call, at once and possibly none. Updates of one answer that
  /// were not taken yet are joined.
  virtual std::vector<Update> take() = 0;
  /// The same, but waits until there is something; empty only after the end.
  virtual std::vector<Update> wait() = 0;
  /// Whether the request has ended; take() may still have output.
  virtual bool ended() const = 0;
  /// Ends the request within a step, also while it is queued. Its output ends with
  /// FinishReason::cancelled.
  virtual void cancel() = 0;
  /// After the end: the whole output, as Engine::take_result() gives it, and the times. Waits.
  virtual Result result() = 0;
  virtual RequestTimes times() const = 0;
};

/// A histogram with fixed upper bounds, as Prometheus has them.
struct ServiceHistogram {
  std::vector<double> bounds;         ///< ascending; the last bucket is everything
  std::vector<std::uint64_t> counts;  ///< of each bucket alone, bounds.size() + 1
  double sum = 0;
};

/// What a monitor wants to know. Counters since the start. Who has seen a request's end finds it
/// counted.
struct ServiceMetrics {
  ServiceState state = ServiceState::loading;
  std::size_t num_running = 0;      ///< answers with a row
  std::size_t num_waiting = 0;      ///< answers that were submitted and have none
  double kv_cache_usage = 0;        ///< blocks that running sequences hold, 0 to 1
  std::uint64_t prompt_tokens = 0;  ///< of requests that gave a token
  std::uint64_t generation_tokens = 0;
  std::uint64_t prefix_cache_queries = 0;  ///< prompt tokens looked up
  std::uint64_t prefix_cache_hits = 0;     ///< of these found
  std::uint64_t num_preemptions = 0;
  /// Ended requests by FinishReason, in its order.
  std::vector<std::uint64_t> finished;
  ServiceHistogram time_to_first_token_s;
  ServiceHistogram inter_token_latency_s;
  ServiceHistogram request_latency_s;  ///< submit to end
  ServiceHistogram queue_time_s;
  ServiceHistogram prefill_time_s;
  ServiceHistogram decode_time_s;
  ServiceHistogram prompt_tokens_per_request;
  ServiceHistogram generation_tokens_per_request;
};

/// An engine that runs on a thread of its own. Thread-safe: any thread may submit and cancel. A
/// failed request is its own affair; a device failure ends all with an error, and the state is
/// `failed`.
class QUERN_API Service {
 public:
  /// Starts the thread, which loads the model and then serves. Returns at once, in state `loading`.
  static Service start(const ModelSource& model, const EngineOptions& engine_options = {},
                       const ServiceOptions& options = {});
  Service(Service&&) noexcept;
  Service& operator=(Service&&) noexcept;
  /// Cancels what runs and waits for the thread.
  ~Service();

  ServiceState state() const;
  /// Waits for the end of loading. Errors: those of Engine::load.
  void wait_until_ready();
  /// Why the state is `failed`; else empty.
  std::string failure() const;

  /// Queues a request. Text is tokenized on the calling thread.
  /// Errors: invalid_argument as Engine::submit; queue_full; unavailable unless the state is ready.
  std::shared_ptr<ResponseStream> submit(const Request& request, SubmitOptions options = {});

  /// Accepts no more requests, and waits until all have ended or `timeout` has passed; what then
  /// still runs is cancelled. Ends with state `stopped`.
  void drain(std::chrono::milliseconds timeout);
  /// Accepts no more requests and cancels all at once, without waiting: a drain() in progress ends,
  /// or a further one does. It ends loading too.
  void abort();

  ServiceMetrics metrics() const;

  // Facts of the loaded engine. Errors: unavailable before it is ready.
  const Tokenizer& tokenizer() const;
  const ModelInfo& info() const;
  const EngineOptions& engine_options() const;    ///< as resolved
  Request resolve(const Request& request) const;  ///< see Engine::resolve

 private:
  class Impl;
  explicit Service(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace quern
