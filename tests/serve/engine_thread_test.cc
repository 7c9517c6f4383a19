// The engine's thread with a device that is behind the host, as a GPU is.
#include "serve/engine_thread.h"

#include <gtest/gtest.h>

#include <random>

#include "runtime/engine_access.h"
#include "runtime/load/engine_plan.h"
#include "tests/runtime/run/deferred_backend.h"
#include "tests/serve/cpu_service.h"

namespace quern {
namespace {

using testing::DeferredBackend;
using testing::Lag;

EngineOptions deferred_options() {
  EngineOptions options = testing::cpu_options();
  options.threads = 1;
  options.max_seqs = 6;
  options.max_tokens_per_step = 64;
  options.kv_reservation = KvReservation::grow;
  return resolve_options(options);
}

class EngineThreadTest : public ::testing::TestWithParam<bool> {
 protected:
  static EngineThread::MakeEngine make() {
    return [device_loops = GetParam()](const LoadCallback&) {
      return EngineAccess::make(std::make_unique<EngineAccess::Impl>(
          testing::model_path(), deferred_options(),
          std::make_unique<DeferredBackend>(Lag::random, device_loops, 1)));
    };
  }
};

TEST_P(EngineThreadTest, ArrivalsAndCancellationsReachARunningDevice) {
  Engine engine = Engine::load(testing::model_path(), deferred_options());
  EngineThread service(make(), {});
  service.wait_until_ready();
  std::mt19937 random(5);
  struct Sent {
    std::shared_ptr<ResponseStream> stream;
    Request request;
    bool cancelled = false;
  };
  std::vector<Sent> sent;
  for (int i = 0; i < 40; ++i) {
    Request request = greedy("Once upon a time", 5 + static_cast<int>(random() % 60));
    if (random() % 2 == 0) request.prompt = "The fox and the king's daughter";
    Sent& one = sent.emplace_back(Sent{service.submit(request, {}), request});
    if (random() % 3 == 0) sent[random() % sent.size()].stream->wait();
    if (random() % 4 == 0) {
      one.stream->cancel();
      one.cancelled = true;
    }
  }
  for (const Sent& one : sent) {
    const Result result = one.stream->result();
    const Result expected = engine.generate(one.request);
    if (result.finish_reason == FinishReason::cancelled) {
      EXPECT_TRUE(one.cancelled);
      EXPECT_TRUE(expected.text.starts_with(result.text));
    } else {
      EXPECT_EQ(result.output_ids, expected.output_ids);
      EXPECT_EQ(result.finish_reason, expected.finish_reason);
    }
  }
  const ServiceMetrics metrics = service.metrics();
  EXPECT_EQ(metrics.num_running + metrics.num_waiting, 0u);
  EXPECT_EQ(metrics.kv_cache_usage, 0);
}

TEST_P(EngineThreadTest, EndsWithRequestsInFlight) {
  std::vector<std::shared_ptr<ResponseStream>> streams;
  {
    EngineThread service(make(), {});
    service.wait_until_ready();
    for (int i = 0; i < 12; ++i) {
      streams.push_back(service.submit(greedy("Once upon a time", 200), {}));
    }
    streams.front()->wait();
  }
  for (const auto& stream : streams) EXPECT_TRUE(stream->ended());
}

INSTANTIATE_TEST_SUITE_P(Loops, EngineThreadTest, ::testing::Bool(),
                         [](const ::testing::TestParamInfo<bool>& tested) {
                           return std::string(tested.param ? "Device" : "Host");
                         });

}  // namespace
}  // namespace quern
