// Counters are exact and gauges return to 0.
#include <gtest/gtest.h>

#include <numeric>

#include "tests/serve/cpu_service.h"

namespace quern {
namespace {

using testing::start_service;

std::uint64_t count_of(const ServiceHistogram& histogram) {
  return std::accumulate(histogram.counts.begin(), histogram.counts.end(), std::uint64_t{0});
}

TEST(ServiceMetrics, AreExactAfterTenRequests) {
  Service service = start_service();
  service.wait_until_ready();
  std::vector<std::shared_ptr<ResponseStream>> streams;
  std::size_t prompt_tokens = 0;
  std::size_t generation_tokens = 0;
  std::size_t cached_tokens = 0;
  for (int i = 0; i < 10; ++i) {
    Request request = greedy(i % 2 == 0 ? "Once upon a time there was" : "The fox said", 5 + i);
    request.ignore_eos = true;
    if (i == 9) request.prompt_ids.assign(100, 42);
    streams.push_back(service.submit(request));
  }
  for (const auto& stream : streams) {
    const Result result = stream->result();
    prompt_tokens += result.prompt_ids.size();
    generation_tokens += result.output_ids.size();
    cached_tokens += static_cast<std::size_t>(result.cached_prompt_tokens);
  }
  Request again = greedy("", 3);
  again.prompt_ids.assign(100, 42);
  again.ignore_eos = true;
  const Result cached = service.submit(again)->result();
  EXPECT_EQ(cached.cached_prompt_tokens, 96);

  const ServiceMetrics metrics = service.metrics();
  EXPECT_EQ(metrics.state, ServiceState::ready);
  EXPECT_EQ(metrics.num_running, 0u);
  EXPECT_EQ(metrics.num_waiting, 0u);
  EXPECT_EQ(metrics.kv_cache_usage, 0);
  EXPECT_EQ(metrics.prompt_tokens, prompt_tokens + 100);
  EXPECT_EQ(metrics.generation_tokens, generation_tokens + 3);
  EXPECT_EQ(metrics.generation_tokens, 95u + 3u);
  EXPECT_EQ(metrics.prefix_cache_queries, prompt_tokens + 100);
  EXPECT_EQ(metrics.prefix_cache_hits, cached_tokens + 96);
  ASSERT_EQ(metrics.finished.size(), 6u);
  EXPECT_EQ(metrics.finished[static_cast<std::size_t>(FinishReason::length)], 11u);
  EXPECT_EQ(std::accumulate(metrics.finished.begin(), metrics.finished.end(), std::uint64_t{0}),
            11u);
  for (const ServiceHistogram* histogram :
       {&metrics.time_to_first_token_s, &metrics.request_latency_s, &metrics.queue_time_s,
        &metrics.prefill_time_s, &metrics.decode_time_s, &metrics.prompt_tokens_per_request,
        &metrics.generation_tokens_per_request}) {
    EXPECT_EQ(count_of(*histogram), 11u);
    EXPECT_EQ(histogram->counts.size(), histogram->bounds.size() + 1);
    EXPECT_TRUE(std::is_sorted(histogram->bounds.begin(), histogram->bounds.end()));
  }
  EXPECT_EQ(metrics.prompt_tokens_per_request.sum, static_cast<double>(prompt_tokens + 100));
  EXPECT_EQ(metrics.generation_tokens_per_request.sum, 98.0);
  EXPECT_EQ(count_of(metrics.inter_token_latency_s), 98u - 11u) << "tokens after the first";
  EXPECT_GT(metrics.request_latency_s.sum, metrics.decode_time_s.sum);
}

TEST(ServiceMetrics, CountAnswersOfOneRequest) {
  Service service = start_service();
  service.wait_until_ready();
  Request request = greedy("Once upon a time", 6);
  request.sampling = {};
  request.sampling.temperature = 1.0f;
  request.sampling.seed = 3;
  request.num_return_sequences = 3;
  request.ignore_eos = true;
  const auto stream = service.submit(request);
  EXPECT_EQ(testing::read_to_end(*stream).num_last, 1);
  EXPECT_EQ(stream->result().sequences.size(), 3u);
  Request beams = greedy("Once upon a time", 6);
  beams.beam_search.num_beams = 3;
  beams.num_return_sequences = 2;
  const Result best = service.submit(beams)->result();
  const ServiceMetrics metrics = service.metrics();
  const std::size_t prompt_len = best.prompt_ids.size();
  EXPECT_EQ(metrics.prompt_tokens, 2 * prompt_len);
  EXPECT_EQ(metrics.generation_tokens,
            18u + best.sequences[0].output_ids.size() + best.sequences[1].output_ids.size());
  EXPECT_EQ(count_of(metrics.request_latency_s), 2u);
}

}  // namespace
}  // namespace quern
