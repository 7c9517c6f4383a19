#include "tools/server/metrics/metrics_text.h"

#include <fmt/format.h>

#include <map>
#include <string_view>

#include "tools/server/openai/answer_format.h"

namespace quern::tools {
namespace {

/// A label's value, with its escapes.
std::string escaped(std::string_view text) {
  std::string value;
  for (const char c : text) {
    if (c == '\n') {
      value += "\\n";
      continue;
    }
    if (c == '"' || c == '\\') value += '\\';
    value += c;
  }
  return value;
}

class MetricsWriter {
 public:
  MetricsWriter(std::string prefix, const std::string& model_name)
      : prefix_(std::move(prefix)), label_(fmt::format("model_name=\"{}\"", escaped(model_name))) {}

  void head(const char* name, const char* type, const char* help) {
    text_ += fmt::format("# HELP {0}{1} {2}\n# TYPE {0}{1} {3}\n", prefix_, name, help, type);
  }

  template <typename Value>
  void sample(std::string_view name, const Value& value, std::string_view more_labels = "") {
    text_ += fmt::format("{}{}{{{}{}}} {}\n", prefix_, name, label_, more_labels, value);
  }

  void gauge(const char* name, double value, const char* help) {
    head(name, "gauge", help);
    sample(name, value);
  }

  void counter(const char* name, std::uint64_t value, const char* help) {
    head(name, "counter", help);
    sample(name, value);
  }

  void histogram(const std::string& name, const ServiceHistogram& histogram, const char* help) {
    head(name.c_str(), "histogram", help);
    std::uint64_t count = 0;
    for (std::size_t i = 0; i < histogram.counts.size(); ++i) {
      count += histogram.counts[i];
      const bool last = i >= histogram.bounds.size();
      sample(name + "_bucket", count,
             fmt::format(",le=\"{}\"", last ? "+Inf" : fmt::format("{}", histogram.bounds[i])));
    }
    sample(name + "_sum", histogram.sum);
    sample(name + "_count", count);
  }

  std::string take() { return std::move(text_); }

 private:
  std::string prefix_;
  std::string label_;
  std::string text_;
};

void write_finished(MetricsWriter& writer, const ServiceMetrics& metrics) {
  std::map<std::string, std::uint64_t> by_reason = {
      {"stop", 0}, {"length", 0}, {"abort", 0}, {"error", 0}};
  for (std::size_t i = 0; i < metrics.finished.size(); ++i) {
    by_reason[api_finish_reason(static_cast<FinishReason>(i))] += metrics.finished[i];
  }
  constexpr const char* kName = "request_success_total";
  writer.head(kName, "counter", "Ended requests by finish reason.");
  for (const auto& [reason, count] : by_reason) {
    writer.sample(kName, count, fmt::format(",finished_reason=\"{}\"", reason));
  }
}

std::string text_of(const ServiceMetrics& metrics, const char* prefix, const std::string& model) {
  MetricsWriter writer(prefix, model);
  writer.gauge("num_requests_running", static_cast<double>(metrics.num_running),
               "Requests that are being computed.");
  writer.gauge("num_requests_waiting", static_cast<double>(metrics.num_waiting),
               "Requests that wait to be computed.");
  writer.gauge("kv_cache_usage_perc", metrics.kv_cache_usage,
               "KV cache blocks that running requests hold, from 0 to 1.");
  writer.counter("prompt_tokens_total", metrics.prompt_tokens, "Prompt tokens.");
  writer.counter("generation_tokens_total", metrics.generation_tokens, "Generated tokens.");
  write_finished(writer, metrics);
  writer.counter("prefix_cache_queries_total", metrics.prefix_cache_queries,
                 "Prompt tokens that were looked up in the prefix cache.");
  writer.counter("prefix_cache_hits_total", metrics.prefix_cache_hits,
                 "Prompt tokens that were found there.");
  writer.counter("num_preemptions_total", metrics.num_preemptions,
                 "Requests that gave up their KV cache for others and were computed anew.");
  writer.histogram("time_to_first_token_seconds", metrics.time_to_first_token_s,
                   "From the arrival of a request to its first token.");
  writer.histogram("inter_token_latency_seconds", metrics.inter_token_latency_s,
                   "From one token of a request to its next.");
  writer.histogram("e2e_request_latency_seconds", metrics.request_latency_s,
                   "From the arrival of a request to its end.");
  writer.histogram("request_queue_time_seconds", metrics.queue_time_s,
                   "From the arrival of a request to its first step.");
  writer.histogram("request_prefill_time_seconds", metrics.prefill_time_s,
                   "From the first step of a request to its first token.");
  writer.histogram("request_decode_time_seconds", metrics.decode_time_s,
                   "From the first token of a request to its last.");
  writer.histogram("request_prompt_tokens", metrics.prompt_tokens_per_request,
                   "Prompt tokens of a request.");
  writer.histogram("request_generation_tokens", metrics.generation_tokens_per_request,
                   "Generated tokens of a request.");
  return writer.take();
}

}  // namespace

std::string metrics_text(const ServiceMetrics& metrics, const MetricsOptions& options) {
  std::string text = text_of(metrics, "quern:", options.model_name);
  if (options.vllm) text += text_of(metrics, "vllm:", options.model_name);
  return text;
}

}  // namespace quern::tools
