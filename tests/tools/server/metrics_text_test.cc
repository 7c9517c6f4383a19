#include "tools/server/metrics/metrics_text.h"

#include <gtest/gtest.h>

namespace quern::tools {
namespace {

ServiceMetrics some_metrics() {
  ServiceMetrics metrics;
  metrics.num_running = 3;
  metrics.kv_cache_usage = 0.25;
  metrics.prompt_tokens = 70;
  metrics.finished = {1, 2, 3, 4, 5, 6};  // as FinishReason has them
  metrics.time_to_first_token_s = {{0.5, 1}, {2, 0, 1}, 3.5};
  return metrics;
}

TEST(MetricsTextTest, IsWhatPrometheusReads) {
  const std::string text = metrics_text(some_metrics(), {"a \"b\"\\", false});
  for (const char* line : {
           "# TYPE quern:num_requests_running gauge\n",
           "quern:num_requests_running{model_name=\"a \\\"b\\\"\\\\\"} 3\n",
           "} 0.25\n",
           "# TYPE quern:prompt_tokens_total counter\n",
           "finished_reason=\"stop\"} 3\n",
           "finished_reason=\"length\"} 7\n",
           "finished_reason=\"abort\"} 5\n",
           "finished_reason=\"error\"} 6\n",
           ",le=\"0.5\"} 2\n",
           ",le=\"1\"} 2\n",
           ",le=\"+Inf\"} 3\n",
           "quern:time_to_first_token_seconds_sum{model_name=\"a \\\"b\\\"\\\\\"} 3.5\n",
           "quern:time_to_first_token_seconds_count{model_name=\"a \\\"b\\\"\\\\\"} 3\n",
       }) {
    EXPECT_NE(text.find(line), std::string::npos) << line << text;
  }
  EXPECT_EQ(text.find("vllm:"), std::string::npos);
}

TEST(MetricsTextTest, HasAllUnderVllmsNames) {
  const std::string text = metrics_text(some_metrics(), {"m", true});
  const std::size_t half = text.find("# HELP vllm:");
  ASSERT_NE(half, std::string::npos);
  std::string ours = text.substr(0, half);
  for (std::size_t at = ours.find("quern:"); at != std::string::npos; at = ours.find("quern:")) {
    ours.replace(at, 6, "vllm:");
  }
  EXPECT_EQ(ours, text.substr(half));
}

}  // namespace
}  // namespace quern::tools
