// Cancellation, time limits, dropped streams, a full queue, drain and abort.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "tests/serve/cpu_service.h"
#include "tests/support/expect_error.h"
#include "tests/support/sanitizers.h"

namespace quern {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::read_to_end;
using testing::start_service;

/// One that ends only when it is told to: it has no EOS and a long way to go.
Request endless(int max_new_tokens = 200) {
  Request request = greedy("Once upon a time", max_new_tokens);
  request.ignore_eos = true;
  return request;
}

EngineOptions one_at_a_time() {
  EngineOptions options = testing::cpu_options();
  options.max_seqs = 1;
  return options;
}

/// A service whose engine's thread can be held up between two steps.
class HeldService {
 public:
  explicit HeldService(const ServiceOptions& options = {},
                       const EngineOptions& engine_options = one_at_a_time())
      : service_(start_service(options, engine_options)) {
    service_.wait_until_ready();
    SubmitOptions submit;
    submit.on_output = [this] {
      reached_.open();
      gate_.pass();
    };
    holder_ = service_.submit(endless(), std::move(submit));
    reached_.wait();
  }
  HeldService(const HeldService&) = delete;
  HeldService& operator=(const HeldService&) = delete;
  ~HeldService() { let_go(); }

  Service* operator->() { return &service_; }
  ResponseStream& holder() { return *holder_; }
  void let_go() { gate_.open(); }

 private:
  testing::Gate reached_, gate_;
  Service service_;
  std::shared_ptr<ResponseStream> holder_;
};

TEST(ServiceEnds, CancelsARunningRequest) {
  HeldService service;
  service.holder().cancel();
  service.let_go();
  const testing::Output output = read_to_end(service.holder());
  EXPECT_EQ(output.finish_reason, FinishReason::cancelled);
  EXPECT_EQ(output.num_last, 1);
  EXPECT_EQ(output.token_ids.size(), 1u) << "it ends within a step";
  EXPECT_EQ(service.holder().result().output_ids, output.token_ids);
}

TEST(ServiceEnds, CancelsAQueuedRequestAtOnce) {
  HeldService service;
  const auto queued = service->submit(endless());
  queued->cancel();
  queued->cancel();
  service.let_go();
  EXPECT_EQ(queued->result().finish_reason, FinishReason::cancelled);
  EXPECT_TRUE(queued->result().output_ids.empty());
  EXPECT_FALSE(service.holder().ended()) << "and while another runs";
  EXPECT_EQ(queued->times().prefill_ms, 0);
  service.holder().cancel();
  EXPECT_EQ(service.holder().result().finish_reason, FinishReason::cancelled);
}

TEST(ServiceEnds, DroppedStreamsAreCancelled) {
  HeldService service;
  for (int i = 0; i < 10; ++i) service->submit(endless());
  service.let_go();
  const auto after = service->submit(endless(5));
  service.holder().cancel();
  EXPECT_EQ(after->result().output_ids.size(), 5u);
  const ServiceMetrics metrics = service->metrics();
  EXPECT_EQ(metrics.finished[static_cast<std::size_t>(FinishReason::cancelled)], 11u);
  EXPECT_EQ(metrics.finished[static_cast<std::size_t>(FinishReason::length)], 1u);
  EXPECT_EQ(metrics.num_running + metrics.num_waiting, 0u);
  EXPECT_EQ(metrics.kv_cache_usage, 0);
}

TEST(ServiceEnds, ManyClientsThatLeaveDoNotHoldUpTheNext) {
  EngineOptions options = testing::cpu_options();
  options.max_seq_len = 2048;
  Service service = start_service({}, options);
  service.wait_until_ready();
  {
    std::vector<std::shared_ptr<ResponseStream>> streams;
    Request request = endless(500);
    for (int i = 0; i < 200; ++i) {
      request.prompt_ids.assign(1500, 10 + i);
      streams.push_back(service.submit(request));
    }
    std::this_thread::sleep_for(milliseconds(50));
  }
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(service.submit(endless(10))->result().output_ids.size(), 10u);
  if (!kHasSanitizers) {
    EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(5));
  }
  const ServiceMetrics metrics = service.metrics();
  EXPECT_EQ(metrics.finished[static_cast<std::size_t>(FinishReason::cancelled)], 200u);
  EXPECT_EQ(metrics.num_running + metrics.num_waiting, 0u);
  EXPECT_EQ(metrics.kv_cache_usage, 0);
}

TEST(ServiceEnds, ATimeLimitCountsFromTheSubmission) {
  HeldService service;
  SubmitOptions short_time;
  short_time.timeout = milliseconds(1);
  const auto queued = service->submit(endless(), short_time);
  std::this_thread::sleep_for(milliseconds(2));
  service.let_go();
  EXPECT_EQ(queued->result().finish_reason, FinishReason::cancelled);
  EXPECT_TRUE(queued->result().output_ids.empty());
  EXPECT_FALSE(service.holder().ended());
}

TEST(ServiceEnds, TheServiceHasATimeLimitForAll) {
  ServiceOptions options;
  options.request_timeout = milliseconds(50);
  EngineOptions engine_options = testing::cpu_options();
  engine_options.max_seq_len = 2048;
  Service service = start_service(options, engine_options);
  service.wait_until_ready();
  SubmitOptions none;
  none.timeout = milliseconds(0);
  const auto limited = service.submit(endless(1900));
  const auto unlimited = service.submit(endless(20), none);
  EXPECT_EQ(unlimited->result().finish_reason, FinishReason::length);
  const Result result = limited->result();
  if (result.output_ids.size() < 1900) {
    EXPECT_EQ(result.finish_reason, FinishReason::cancelled);
    EXPECT_GE(limited->times().total_ms, 50);
  }
}

TEST(ServiceEnds, AFullQueueRefuses) {
  ServiceOptions options;
  options.max_queue = 2;
  HeldService service(options);
  const auto first = service->submit(endless(3));
  const auto second = service->submit(endless(3));
  EXPECT_EQ(service->metrics().num_waiting, 2u);
  EXPECT_QUERN_ERROR(ErrorCode::queue_full, ({"2 requests wait", "max_queue is 2"}),
                     service->submit(endless(3)));
  service.let_go();
  service.holder().cancel();
  EXPECT_EQ(first->result().output_ids.size(), 3u);
  EXPECT_EQ(second->result().output_ids.size(), 3u);
  EXPECT_EQ(service->submit(endless(3))->result().output_ids.size(), 3u) << "there is room again";
}

TEST(ServiceEnds, WithoutAQueueRowsAreStillGivenOut) {
  ServiceOptions options;
  options.max_queue = 0;
  Service service = start_service(options);
  service.wait_until_ready();
  std::vector<std::shared_ptr<ResponseStream>> streams;
  for (int i = 0; i < testing::cpu_options().max_seqs; ++i) {
    streams.push_back(service.submit(endless(8)));
  }
  for (const auto& stream : streams) EXPECT_EQ(stream->result().output_ids.size(), 8u);
}

TEST(ServiceEnds, LowerPriorityValuesGoFirst) {
  // Before the service: a last call may come after the result.
  std::mutex mutex;
  std::vector<int> order;
  HeldService service;
  std::vector<std::shared_ptr<ResponseStream>> streams;
  for (const int priority : {3, 0, 2, 2, -1}) {
    SubmitOptions submit;
    submit.priority = priority;
    const int name = static_cast<int>(streams.size());
    submit.on_output = [&, name] {
      const std::lock_guard lock(mutex);
      if (order.empty() || order.back() != name) order.push_back(name);
    };
    streams.push_back(service->submit(endless(4), std::move(submit)));
  }
  service.let_go();
  service.holder().cancel();
  for (const auto& stream : streams) EXPECT_EQ(stream->result().output_ids.size(), 4u);
  const std::lock_guard lock(mutex);
  EXPECT_EQ(order, (std::vector<int>{4, 1, 2, 3, 0}));
}

TEST(ServiceEnds, DrainLetsRequestsFinish) {
  Service service = start_service();
  service.wait_until_ready();
  std::vector<std::shared_ptr<ResponseStream>> streams;
  for (int i = 0; i < 10; ++i) streams.push_back(service.submit(endless(20)));
  service.drain(seconds(100));
  EXPECT_EQ(service.state(), ServiceState::stopped);
  for (const auto& stream : streams) {
    EXPECT_TRUE(stream->ended());
    EXPECT_EQ(stream->result().output_ids.size(), 20u);
  }
  EXPECT_QUERN_ERROR(ErrorCode::unavailable, ({"shutting down"}), service.submit(endless()));
  EXPECT_GT(service.tokenizer().vocab_size(), 0) << "facts are still there";
}

TEST(ServiceEnds, DrainCancelsAfterItsTime) {
  HeldService service;
  const auto queued = service->submit(endless());
  std::thread drain([&] { service->drain(milliseconds(0)); });
  while (service->state() != ServiceState::draining) std::this_thread::yield();
  EXPECT_QUERN_ERROR(ErrorCode::unavailable, ({"shutting down"}), service->submit(endless()));
  std::this_thread::sleep_for(milliseconds(20));  // so that its time has passed
  service.let_go();
  drain.join();
  EXPECT_EQ(service->state(), ServiceState::stopped);
  EXPECT_EQ(queued->result().finish_reason, FinishReason::cancelled);
  EXPECT_EQ(service.holder().result().finish_reason, FinishReason::cancelled);
}

TEST(ServiceEnds, AbortEndsADrain) {
  HeldService service;
  std::thread drain([&] { service->drain(seconds(1000)); });
  while (service->state() != ServiceState::draining) std::this_thread::yield();
  service->abort();
  service.let_go();
  drain.join();
  EXPECT_EQ(service->state(), ServiceState::stopped);
  EXPECT_EQ(service.holder().result().finish_reason, FinishReason::cancelled);
}

TEST(ServiceEnds, StreamsOutliveTheirService) {
  std::shared_ptr<ResponseStream> stream;
  {
    Service service = start_service();
    service.wait_until_ready();
    stream = service.submit(endless());
  }
  EXPECT_TRUE(stream->ended());
  EXPECT_EQ(read_to_end(*stream).finish_reason, FinishReason::cancelled);
  stream->cancel();
  EXPECT_TRUE(stream->wait().empty());
}

TEST(ServiceEnds, ACallbackThatThrowsEndsItsRequest) {
  Service service = start_service();
  service.wait_until_ready();
  SubmitOptions submit;
  submit.on_output = [] { throw std::runtime_error("the callback's own"); };
  const auto bad = service.submit(endless(), std::move(submit));
  const auto good = service.submit(endless(10));
  EXPECT_EQ(bad->result().finish_reason, FinishReason::cancelled);
  EXPECT_EQ(good->result().output_ids.size(), 10u);
}

TEST(ServiceEnds, ACallbackMayHoldItsStream) {
  Service service = start_service();
  service.wait_until_ready();
  struct Holder {
    std::shared_ptr<ResponseStream> stream;
    testing::Gate started;
    std::atomic<int> calls = 0;
  };
  std::weak_ptr<Holder> weak;
  {
    auto holder = std::make_shared<Holder>();
    weak = holder;
    SubmitOptions submit;
    submit.on_output = [holder] {
      holder->started.pass();
      ++holder->calls;
    };
    holder->stream = service.submit(endless(6), std::move(submit));
    holder->started.open();
  }
  service.drain(seconds(100));
  EXPECT_TRUE(weak.expired()) << "nothing is left of a request that has ended";
  EXPECT_EQ(service.metrics().finished[static_cast<std::size_t>(FinishReason::length)], 1u);
}

}  // namespace
}  // namespace quern
