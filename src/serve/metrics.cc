#include "serve/metrics.h"

#include <algorithm>

#include "serve/histogram.h"

namespace quern {
namespace {

constexpr auto kNumFinishReasons = static_cast<std::size_t>(FinishReason::error) + 1;

double seconds(std::chrono::steady_clock::duration time) {
  return std::chrono::duration<double>(time).count();
}

double milliseconds(std::chrono::steady_clock::duration time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

}  // namespace

Metrics::Metrics() {
  values_.finished.resize(kNumFinishReasons);
  const auto times = [] { return make_histogram(decade_bounds(0.001, 2000)); };
  values_.time_to_first_token_s = times();
  values_.inter_token_latency_s = make_histogram(decade_bounds(0.0001, 100));
  values_.request_latency_s = times();
  values_.queue_time_s = times();
  values_.prefill_time_s = times();
  values_.decode_time_s = times();
  values_.prompt_tokens_per_request = make_histogram(decade_bounds(1, 1e6));
  values_.generation_tokens_per_request = make_histogram(decade_bounds(1, 1e6));
}

ServiceMetrics Metrics::snapshot() const {
  const std::lock_guard lock(mutex_);
  return values_;
}

void Metrics::Recorder::use(const EngineUse& use) {
  metrics_.num_running = use.num_running;
  metrics_.num_waiting = use.num_waiting;
  metrics_.kv_cache_usage =
      static_cast<double>(use.num_held_blocks) / static_cast<double>(use.num_blocks);
  metrics_.num_preemptions = use.num_preemptions;
  metrics_.prefix_cache_queries = use.prefix_queries;
  metrics_.prefix_cache_hits = use.prefix_hits;
}

void Metrics::Recorder::admitted(LiveRequest& request, Time time) {
  request.admitted = time;
  observe(metrics_.queue_time_s, seconds(time - request.submitted));
}

void Metrics::Recorder::output(LiveRequest& request, const Update& update, Time now) {
  std::size_t count = update.token_ids.size();
  if (count == 0) return;
  metrics_.generation_tokens += count;
  request.generation_tokens += count;
  if (!request.first_token) {
    request.first_token = now;
    metrics_.prompt_tokens += request.prompt_tokens;
    observe(metrics_.time_to_first_token_s, seconds(now - request.submitted));
    observe(metrics_.prefill_time_s, seconds(now - request.admitted.value_or(now)));
  }
  // A beam search has more answers than sequences; it gives them all at once.
  const auto answer = static_cast<std::size_t>(update.sequence);
  if (answer >= request.last_tokens.size()) return;
  auto& last = request.last_tokens[answer];
  if (last) {
    observe(metrics_.inter_token_latency_s, seconds(now - *last) / static_cast<double>(count),
            count);
  }
  last = now;
}

RequestTimes Metrics::Recorder::ended(const LiveRequest& request, FinishReason reason, Time now) {
  ++metrics_.finished.at(static_cast<std::size_t>(reason));
  RequestTimes times;
  times.total_ms = milliseconds(now - request.submitted);
  times.queue_ms = milliseconds(request.admitted.value_or(now) - request.submitted);
  if (request.first_token) {
    Time last = *request.first_token;
    for (const auto& token : request.last_tokens) last = std::max(last, token.value_or(last));
    times.prefill_ms = milliseconds(*request.first_token - request.admitted.value_or(now));
    times.decode_ms = milliseconds(last - *request.first_token);
    observe(metrics_.decode_time_s, times.decode_ms / 1e3);
  } else if (request.admitted) {
    times.prefill_ms = milliseconds(now - *request.admitted);
  }
  observe(metrics_.request_latency_s, times.total_ms / 1e3);
  observe(metrics_.prompt_tokens_per_request, static_cast<double>(request.prompt_tokens));
  observe(metrics_.generation_tokens_per_request, static_cast<double>(request.generation_tokens));
  return times;
}

}  // namespace quern
