// 64 streams at a time with cancellations, preemptions and shared prefixes give what the engine
// gives to each request alone.
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>

#include "tests/serve/cpu_service.h"
#include "tests/support/sanitizers.h"

namespace quern {
namespace {

constexpr int kThreads = 8;
constexpr int kStreamsOfAThread = 8;  ///< at a time
constexpr int kRounds = kHasSanitizers ? 1 : 3;
constexpr int kNumRequests = kHasSanitizers ? 24 : 48;

std::vector<Request> make_requests() {
  std::mt19937 random(1);
  const auto below = [&](int bound) { return static_cast<int>(random() % unsigned(bound)); };
  std::vector<Request> requests;
  for (int i = 0; i < kNumRequests; ++i) {
    Request request = greedy("", 40 + below(100));
    const int prompt_len = 1 + below(i % 6 == 0 ? 120 : 30);
    for (int n = 0; n < prompt_len; ++n) request.prompt_ids.push_back(10 + below(900));
    if (i % 3 == 0) request.prompt_ids.insert(request.prompt_ids.begin(), 64, 500 + i % 2);
    request.ignore_eos = true;
    if (i % 8 == 7) {
      request.sampling.greedy = false;
      request.sampling.temperature = 1.0f;
      request.sampling.seed = 77;
      request.num_return_sequences = 2;
    }
    requests.push_back(request);
  }
  return requests;
}

EngineOptions stress_options() {
  EngineOptions options = testing::cpu_options();
  options.threads = 2;
  options.max_seqs = 16;
  options.max_seq_len = 320;
  options.max_tokens_per_step = 128;
  options.max_mixed_tokens = 64;
  return options;
}

struct Counts {
  std::atomic<int> wrong = 0, whole = 0, cancelled = 0;
};

/// Submits requests, and reads, cancels or drops their streams.
class Client {
 public:
  Client(Service& service, const std::vector<Request>& requests,
         const std::vector<Result>& expected, Counts& counts, unsigned seed)
      : service_(service),
        requests_(requests),
        expected_(expected),
        counts_(counts),
        random_(seed) {}

  void run() {
    for (int round = 0; round < kRounds; ++round) {
      std::vector<std::pair<std::size_t, std::shared_ptr<ResponseStream>>> streams;
      for (int i = 0; i < kStreamsOfAThread; ++i) {
        const std::size_t index = below(requests_.size());
        SubmitOptions options;
        options.priority = static_cast<int>(below(3));
        streams.emplace_back(index, service_.submit(requests_[index], std::move(options)));
      }
      for (auto& [index, stream] : streams) end(index, stream);
    }
  }

 private:
  std::size_t below(std::size_t bound) { return random_() % bound; }

  void end(std::size_t index, std::shared_ptr<ResponseStream>& stream) {
    const std::size_t what = below(8);
    if (what == 0) {
      stream->wait();
      stream.reset();  // dropped while it runs
      return;
    }
    if (what == 1) stream->cancel();
    const testing::Output output = testing::read_to_end(*stream);
    const Result result = stream->result();
    const Result& right = expected_[index];
    if (output.num_last != 1) ++counts_.wrong;
    if (result.finish_reason == FinishReason::cancelled) {
      ++counts_.cancelled;
      const bool begins =
          result.output_ids.size() <= right.output_ids.size() &&
          std::equal(result.output_ids.begin(), result.output_ids.end(), right.output_ids.begin());
      if (what != 1 || !begins) ++counts_.wrong;
      return;
    }
    ++counts_.whole;
    if (result.output_ids != right.output_ids || result.text != right.text ||
        result.sequences.size() != right.sequences.size()) {
      ++counts_.wrong;
    }
    for (std::size_t i = 0; i < result.sequences.size(); ++i) {
      if (result.sequences[i].output_ids != right.sequences[i].output_ids) ++counts_.wrong;
    }
  }

  Service& service_;
  const std::vector<Request>& requests_;
  const std::vector<Result>& expected_;
  Counts& counts_;
  std::mt19937 random_;
};

TEST(ServiceStress, SixtyFourMixedStreamsGiveTheEnginesAnswers) {
  const std::vector<Request> requests = make_requests();
  EngineOptions options = stress_options();
  std::vector<Result> expected;
  {
    EngineOptions alone = options;
    alone.prefix_cache = false;
    Engine engine = Engine::load(testing::model_path(), alone);
    for (const Request& request : requests) expected.push_back(engine.generate(request));
  }
  // Blocks for a fraction of what 16 sequences want.
  const MemoryPlan plan = inspect(testing::model_path(), options).memory_plan;
  const std::uint64_t block_bytes =
      plan.kv_cache_bytes / static_cast<std::uint64_t>(plan.num_kv_blocks);
  options.kv_cache_memory_bytes = 22 * block_bytes;
  Service service = testing::start_service({}, options);
  service.wait_until_ready();
  EXPECT_EQ(service.engine_options().kv_reservation, KvReservation::grow);

  Counts counts;
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] { Client(service, requests, expected, counts, i).run(); });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counts.wrong, 0);
  EXPECT_GT(counts.whole, 33 * kRounds);
  EXPECT_GT(counts.cancelled, 0);

  service.drain(std::chrono::seconds(300));
  const ServiceMetrics metrics = service.metrics();
  EXPECT_EQ(metrics.num_running, 0u);
  EXPECT_EQ(metrics.num_waiting, 0u);
  EXPECT_EQ(metrics.kv_cache_usage, 0);
  EXPECT_GT(metrics.num_preemptions, 0u);
  EXPECT_GT(metrics.prefix_cache_hits, 0u);
  std::uint64_t num_ended = 0;
  for (const std::uint64_t count : metrics.finished) num_ended += count;
  EXPECT_EQ(num_ended, static_cast<std::uint64_t>(kThreads * kStreamsOfAThread * kRounds));
}

}  // namespace
}  // namespace quern
