// All decode loop modes give the same tokens and report what they did.
#include <map>
#include <optional>
#include <utility>

#include "quern/benchmark.h"
#include "tests/runtime/cuda/gpu_engine.h"
#include "tests/runtime/golden.h"

namespace quern::testing {
namespace {

using Ids = std::vector<std::int32_t>;

struct LoopMode {
  std::string name;
  DeviceLoopChoice device_loop;
  int skip_steps;
  int check_interval;
  bool eager;  ///< node by node, no recordings
};

std::vector<LoopMode> loop_modes() {
  using enum DeviceLoopChoice;
  return {{"every_step", off, 0, 1, false},     {"every_fifth", off, 0, 5, false},
          {"skip_8_check_4", off, 8, 4, false}, {"at_the_limit", off, 0, 1000, false},
          {"eager", off, 0, 1, true},           {"device", require, 0, 1, false},
          {"automatic", automatic, 0, 1, false}};
}

class DecodeLoopTest : public GpuEngineTest {
 protected:
  static EngineOptions options_of(const LoopMode& mode) {
    EngineOptions options;
    options.device_loop = mode.device_loop;
    options.skip_steps = mode.skip_steps;
    options.check_interval = mode.check_interval;
    options.profile = mode.eager;
    return options;
  }
  static EngineOptions on_device() {
    EngineOptions options;
    options.dtype = DType::float32;
    options.device_loop = DeviceLoopChoice::require;
    return options;
  }
  static EngineOptions on_host() {
    EngineOptions options;
    options.dtype = DType::float32;
    options.device_loop = DeviceLoopChoice::off;
    return options;
  }
};

/// Thirteen requests with every finish reason, more than there are rows; the last has state of its
/// sampler on the device.
std::vector<Request> mixed_requests() {
  std::vector<Request> requests;
  std::string prompt = "Once";
  for (int i = 0; i < 12; ++i) {
    Request request;
    request.prompt = prompt;
    request.max_new_tokens = 10 + 17 * (i % 5);
    if (i % 3 == 0) {
      request.sampling.greedy = true;
    } else {
      request.sampling.temperature = 0.9f;
      request.sampling.top_p = 0.9f;
      request.sampling.seed = 1000u + static_cast<unsigned>(i);
    }
    if (i % 4 == 1) request.stop = {" king", " and"};
    if (i % 4 == 2) request.top_logprobs = 3;
    requests.push_back(request);
    prompt += i % 2 == 0 ? " upon a time there was a" : " king, and he had a daughter who said";
  }
  Request mirostat = requests[7];
  mirostat.sampling.top_p.reset();
  mirostat.sampling.mirostat_tau = 3.0f;
  requests.push_back(mirostat);
  return requests;
}

/// The log-probability tolerance of the golden tests, for the demo model that needs the most.
double logprob_tolerance() {
  static const double tolerance = [] {
    double most = 0.0;
    for (const auto& [model, golden] : testing::golden_models()) {
      const double largest = testing::largest_logit(testing::read_golden(golden));
      most = std::max(most, 2.0 * testing::logit_tolerance(
                                      inspect(testing::demo_model(model).string()).info, largest));
    }
    return most;
  }();
  return tolerance;
}

/// Batches that differ between modes sum in another order, which is why these tests run in float32
/// and allow log-probabilities the golden tests' tolerance; a single request has the same bits.
void expect_equal(const Result& actual, const Result& expected,
                  double tolerance = logprob_tolerance()) {
  EXPECT_EQ(actual.output_ids, expected.output_ids);
  EXPECT_EQ(actual.text, expected.text);
  EXPECT_EQ(actual.finish_reason, expected.finish_reason);
  ASSERT_EQ(actual.logprobs.size(), expected.logprobs.size());
  for (std::size_t i = 0; i < actual.logprobs.size(); ++i) {
    EXPECT_NEAR(actual.logprobs[i].logprob, expected.logprobs[i].logprob, tolerance) << i;
  }
}

TEST_F(DecodeLoopTest, EveryModeGivesTheSameTokens) {
  const auto requests = mixed_requests();
  for (const std::string model : {"tale-gpt2", "tale-llama", "tale-qwen", "tale-qwen2"}) {
    std::vector<Result> expected;
    for (const LoopMode& mode : loop_modes()) {
      SCOPED_TRACE(model + " " + mode.name);
      EngineOptions options = options_of(mode);
      options.dtype = DType::float32;
      options.max_seqs = 4;
      options.max_tokens_per_step = 64;  // so that prefill and decode mix
      Engine engine = load(options, model);
      const auto results = engine.generate(requests);
      if (expected.empty()) expected = results;
      for (std::size_t i = 0; i < results.size(); ++i) expect_equal(results[i], expected[i]);
      const bool by_device = mode.device_loop != DeviceLoopChoice::off;
      EXPECT_EQ(engine.timing().loop, by_device ? LoopRunner::device : LoopRunner::host);
    }
  }
}

TEST_F(DecodeLoopTest, AloneEveryModeGivesTheSameBits) {
  auto requests = mixed_requests();
  for (Request& request : requests) request.top_logprobs = 3;
  for (const std::string model : {"tale-gpt2", "tale-llama", "tale-qwen", "tale-qwen2"}) {
    std::vector<Result> expected;
    bool persistent = false;
    for (const LoopMode& mode : loop_modes()) {
      SCOPED_TRACE(model + " " + mode.name);
      // A profile times each op by itself; a persistent step sums in another order.
      if (mode.eager && persistent) continue;
      Engine engine = load(options_of(mode), model);
      for (std::size_t i = 0; i < requests.size(); ++i) {
        const Result result = engine.generate(requests[i]);
        if (expected.size() == i) expected.push_back(result);
        expect_equal(result, expected[i], 0.0);
      }
      const auto layers = static_cast<std::uint64_t>(engine.info().num_hidden_layers);
      persistent = engine.timing().launches_per_step < 2 * layers;
    }
  }
}

TEST_F(DecodeLoopTest, StreamingTellsEachTokenOnceAndInOrder) {
  const auto requests = mixed_requests();
  for (const LoopMode& mode : loop_modes()) {
    SCOPED_TRACE(mode.name);
    Engine engine = load(options_of(mode));
    struct Told {
      Ids ids;
      std::string text;
      bool ended = false;
    };
    std::map<RequestId, Told> told;
    const auto results = engine.generate(requests, [&](const Update& update) {
      Told& entry = told[update.id];
      EXPECT_FALSE(entry.ended);
      entry.ids.insert(entry.ids.end(), update.token_ids.begin(), update.token_ids.end());
      entry.text += update.text;
      entry.ended = update.finish_reason.has_value();
      return true;
    });
    for (const Result& result : results) {
      EXPECT_EQ(told[result.id].ids, result.output_ids);
      EXPECT_EQ(told[result.id].text, result.text);
      EXPECT_TRUE(told[result.id].ended);
    }
  }
}

TEST_F(DecodeLoopTest, TheDeviceEndsOnTheVeryStep) {
  Engine engine = load(on_device());
  // This golden case ends with </s> after 80 tokens.
  const Result result = engine.generate(greedy("The king had three sons.", 96));
  EXPECT_EQ(result.output_ids.size(), 80u);
  EXPECT_EQ(result.finish_reason, FinishReason::stop);
  EXPECT_EQ(engine.timing().steps_run, 80u);
  engine.generate(greedy("The king had three sons.", 30));
  EXPECT_EQ(engine.timing().steps_run, 110u);
}

TEST_F(DecodeLoopTest, TheRingWrapsAround) {
  const Request request = endless("Once upon a time", 900);  // seven rings, three context lengths
  const Result expected = load(on_host()).generate(request);
  Engine engine = load(on_device());
  const Result result = engine.generate(request);
  expect_equal(result, expected);
  EXPECT_EQ(result.output_ids.size(), 900u);
  EXPECT_EQ(engine.timing().steps_run, 900u);
}

TEST_F(DecodeLoopTest, ALoopIsCancelledInTheMiddle) {
  Engine engine = load(on_device());
  const Request request = endless("Once upon a time", 1500);
  const RequestId first = engine.submit(request);
  const RequestId second = engine.submit(endless("The fox", 300));
  for (std::size_t seen = 0; seen < 40;) {
    for (const Update& update : engine.step()) {
      if (update.id == first) seen += update.token_ids.size();
    }
  }
  engine.cancel(first);
  while (engine.busy()) engine.step();
  const Result cancelled = *engine.take_result(first);
  EXPECT_EQ(cancelled.finish_reason, FinishReason::cancelled);
  EXPECT_LT(cancelled.output_ids.size(), 1500u);
  const Result whole = load(on_host()).generate(request);
  EXPECT_TRUE(std::equal(cancelled.output_ids.begin(), cancelled.output_ids.end(),
                         whole.output_ids.begin()));
  expect_equal(*engine.take_result(second), load(on_host()).generate(endless("The fox", 300)));
}

TEST_F(DecodeLoopTest, RequestsArriveWhileALoopRuns) {
  Engine engine = load(on_device());
  const auto requests = mixed_requests();
  std::vector<RequestId> ids = {engine.submit(endless("The fox", 400))};
  for (const Request& request : requests) {
    for (int i = 0; i < 3; ++i) engine.step();
    ids.push_back(engine.submit(request));
  }
  while (engine.busy()) engine.step();
  Engine single = load(on_host());
  expect_equal(*engine.take_result(ids[0]), single.generate(endless("The fox", 400)));
  for (std::size_t i = 0; i < requests.size(); ++i) {
    SCOPED_TRACE(i);
    Result expected = single.generate(requests[i]);
    expect_equal(*engine.take_result(ids[i + 1]), expected);
  }
}

TEST_F(DecodeLoopTest, OnlyARequestThatCanTakePartStopsALoop) {
  EngineOptions options = on_device();
  options.max_seqs = 1;
  Engine engine = load(options);
  engine.submit(endless("Once upon a time", 100));
  for (int i = 0; i < 4; ++i) engine.step();
  const RequestId second = engine.submit(endless("The fox", 50));
  engine.cancel(second + 1);
  engine.cancel(0);
  while (engine.busy()) engine.step();
  EXPECT_EQ(engine.timing().host_syncs, 4u) << "each: after the prompt, and for its one loop's end";
  EXPECT_EQ(engine.timing().steps_run, 150u);
}

TEST_F(DecodeLoopTest, AFreeRowIsTakenWhileALoopRuns) {
  EngineOptions options = on_device();
  options.max_seqs = 4;
  Engine engine = load(options);
  const RequestId first = engine.submit(endless("Once upon a time", 120));
  for (int i = 0; i < 4; ++i) engine.step();
  const RequestId second = engine.submit(endless("The fox", 5));
  while (!engine.take_result(second)) engine.step();
  EXPECT_FALSE(engine.take_result(first)) << "the second did not wait for the first";
  while (engine.busy()) engine.step();
}

TEST_F(DecodeLoopTest, AnEngineMayGoWhileItsLoopRuns) {
  for (int i = 0; i < 3; ++i) {
    Engine engine = load(on_device());
    engine.submit(endless("Once upon a time", 1000));
    for (int step = 0; step < 5; ++step) engine.step();
  }
  EXPECT_EQ(load(on_device()).generate(greedy("Once", 5)).output_ids.size(), 5u);
}

TEST_F(DecodeLoopTest, TheHostWaitsOnlyToLook) {
  EngineOptions options = on_host();
  options.check_interval = 16;
  Engine host = load(options);
  host.generate(endless("Once upon a time", 100));
  EXPECT_EQ(host.timing().stop_checks, 7u);  // after 16, …, 96 and at the limit
  EXPECT_EQ(host.timing().host_syncs, host.timing().stop_checks);

  Engine device = load(on_device());
  device.generate(endless("Once upon a time", 100));
  EXPECT_EQ(device.timing().host_syncs, 2u) << "after the prompt, and for the loop's end";
}

TEST_F(DecodeLoopTest, ADecodeStepLaunchesFiveKernelsALayerOrOneAndCallsNoLibrary) {
  constexpr std::uint64_t kAroundTheLayers = 4;     // embed, lm_head, sample, advance
  constexpr std::uint64_t kWithPersistentStep = 4;  // embed, the step, sample, advance
  for (auto options : {on_host(), on_device()}) {
    options.dtype = DType::float16;
    Engine engine = load(options);
    engine.generate(endless("Once upon a time", 20));
    const auto layers = static_cast<std::uint64_t>(engine.info().num_hidden_layers);
    // All that may overlap do, or none, by the architecture that the code was compiled for.
    const std::uint64_t dependent = engine.timing().dependent_launches_per_step;
    EXPECT_EQ(engine.timing().launches_per_step,
              dependent > 0 ? 5 * layers + kAroundTheLayers : kWithPersistentStep);
    EXPECT_TRUE(dependent == 0 || dependent > 4 * layers) << dependent;
    EXPECT_LT(dependent, engine.timing().launches_per_step);
    EXPECT_EQ(engine.timing().library_calls_per_step, 0u);
    EXPECT_GT(engine.timing().peak_memory_bytes, engine.memory_plan().total_bytes());
  }
}

TEST_F(DecodeLoopTest, ProfileTellsWhatNodesTake) {
  EngineOptions options;
  options.profile = true;
  Engine engine = load(options);
  engine.generate(endless("Once upon a time", 20));
  const Profile measured = profile(engine);
  EXPECT_GT(measured.read_gbps, 50.0);
  EXPECT_EQ(measured.prefill.num_steps, 1u);
  EXPECT_EQ(measured.decode.num_steps, 19u);
  for (const NodeProfile& node : measured.decode.nodes) {
    EXPECT_GT(node.us_per_step, 0.0) << node.kind;
    EXPECT_LT(node.gbps(), measured.read_gbps * 20) << node.kind << ": caches are not that fast";
  }
  options.device_loop = DeviceLoopChoice::require;
  EXPECT_THROW(load(options), Error);
}

}  // namespace
}  // namespace quern::testing
