// An engine on a thread of its own: requests from many threads, and all the ways in which they end.
#include "quern/service.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "backend/node_fault.h"
#include "tests/serve/cpu_service.h"
#include "tests/support/changed_model.h"
#include "tests/support/expect_error.h"

namespace quern {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::read_to_end;
using testing::start_service;

TEST(Service, GivesWhatTheEngineGives) {
  Service service = start_service();
  service.wait_until_ready();
  EXPECT_EQ(service.state(), ServiceState::ready);
  Request request = greedy("Once upon a time", 40);
  request.top_logprobs = 2;
  const auto stream = service.submit(request);
  const testing::Output output = read_to_end(*stream);

  Engine engine = Engine::load(testing::model_path(), testing::cpu_options());
  const Result expected = engine.generate(request);
  EXPECT_EQ(output.token_ids, expected.output_ids);
  EXPECT_EQ(output.text, expected.text);
  EXPECT_EQ(output.num_logprobs, expected.logprobs.size());
  EXPECT_EQ(output.finish_reason, expected.finish_reason);
  const Result result = stream->result();
  EXPECT_EQ(result.output_ids, expected.output_ids);
  EXPECT_EQ(result.prompt_ids, expected.prompt_ids);
  const RequestTimes times = stream->times();
  EXPECT_GT(times.prefill_ms, 0);
  EXPECT_GT(times.decode_ms, 0);
  EXPECT_NEAR(times.queue_ms + times.prefill_ms + times.decode_ms, times.total_ms, 20);
}

TEST(Service, ManyThreadsSubmitAtOnce) {
  Engine engine = Engine::load(testing::model_path(), testing::cpu_options());
  const Result expected = engine.generate(greedy("The king said", 12));
  Service service = start_service();
  service.wait_until_ready();
  std::atomic<int> good = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 4; ++n) {
        const auto stream = service.submit(greedy("The king said", 12));
        if (stream->result().output_ids == expected.output_ids) ++good;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(good, 32);
}

TEST(Service, ErrorsOfARequestAreThrownAtTheCaller) {
  Service service = start_service();
  service.wait_until_ready();
  Request request = greedy("Once", 4);
  request.sampling.top_p = 2.0f;
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"top_p"}), service.submit(request));
  request = greedy("", 4);
  request.prompt_ids = {1, 1 << 30};
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"vocabulary"}), service.submit(request));
  EXPECT_EQ(service.submit(greedy("Once", 4))->result().output_ids.size(), 4u);
}

TEST(Service, AFailingRequestLeavesOthersAlone) {
  const testing::PoisonedModel model;
  Service service = start_service({}, testing::cpu_options(), model.folder());
  service.wait_until_ready();
  Request poisoned = greedy("", 20);
  poisoned.prompt_ids = {1, 300, testing::PoisonedModel::kPoison, 400};
  const auto good = service.submit(greedy("Once upon a time", 20));
  const auto bad = service.submit(poisoned);
  EXPECT_EQ(bad->result().finish_reason, FinishReason::error);
  EXPECT_NE(bad->result().error.find("non-finite"), std::string::npos);
  EXPECT_NE(good->result().finish_reason, FinishReason::error);
  EXPECT_EQ(service.state(), ServiceState::ready);
}

TEST(Service, ADeviceFailureEndsAll) {
  Service service = start_service();
  service.wait_until_ready();
  std::vector<std::shared_ptr<ResponseStream>> streams;
  std::unique_ptr<NodeFault> fault;
  for (int i = 0; i < 12; ++i) streams.push_back(service.submit(greedy("Once upon a time", 200)));
  streams.front()->wait();
  fault = std::make_unique<NodeFault>(5, true);
  for (const auto& stream : streams) {
    const Result result = stream->result();
    EXPECT_EQ(result.finish_reason, FinishReason::error);
    EXPECT_NE(result.error.find("a fault that a test asked for"), std::string::npos);
  }
  EXPECT_EQ(service.state(), ServiceState::failed);
  EXPECT_NE(service.failure().find("a fault that a test asked for"), std::string::npos);
  EXPECT_QUERN_ERROR(ErrorCode::unavailable, ({"a fault that a test asked for"}),
                     service.submit(greedy("Once", 4)));
  const ServiceMetrics metrics = service.metrics();
  EXPECT_EQ(metrics.num_running + metrics.num_waiting, 0u);
  EXPECT_EQ(metrics.finished.at(static_cast<std::size_t>(FinishReason::error)), 12u);
  service.drain(seconds(10));
  EXPECT_EQ(service.state(), ServiceState::failed);
}

TEST(Service, AModelThatIsNotThereFailsIt) {
  Service service = start_service({}, testing::cpu_options(), "/no/such/model");
  EXPECT_QUERN_ERROR(ErrorCode::not_found, ({"/no/such/model"}), service.wait_until_ready());
  EXPECT_EQ(service.state(), ServiceState::failed);
  EXPECT_NE(service.failure().find("/no/such/model"), std::string::npos);
  EXPECT_QUERN_ERROR(ErrorCode::unavailable, ({"/no/such/model"}),
                     service.submit(greedy("Once", 4)));
  EXPECT_QUERN_ERROR(ErrorCode::unavailable, ({""}), service.tokenizer());
}

TEST(Service, RefusesWhileItLoads) {
  testing::Gate gate;
  EngineOptions options = testing::cpu_options();
  options.on_load = [&](const LoadProgress&) { gate.pass(); };
  Service service = Service::start(testing::model_path(), options);
  EXPECT_EQ(service.state(), ServiceState::loading);
  EXPECT_QUERN_ERROR(ErrorCode::unavailable, ({"loaded"}), service.submit(greedy("Once", 4)));
  gate.open();
  service.wait_until_ready();
  EXPECT_EQ(service.submit(greedy("Once", 4))->result().output_ids.size(), 4u);
}

TEST(Service, LoadingIsEndedByAbort) {
  testing::Gate gate;
  EngineOptions options = testing::cpu_options();
  options.on_load = [&](const LoadProgress&) { gate.pass(); };
  Service service = Service::start(testing::model_path(), options);
  service.abort();
  gate.open();
  service.drain(seconds(60));
  EXPECT_EQ(service.state(), ServiceState::stopped);
  EXPECT_QUERN_ERROR(ErrorCode::unavailable, ({"stopped"}), service.wait_until_ready());
}

}  // namespace
}  // namespace quern
