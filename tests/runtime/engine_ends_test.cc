#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <thread>

#include "quern/engine.h"
#include "tests/runtime/cpu_engine.h"
#include "tests/support/expect_error.h"

// When engines check for stops, what they report in between, and how requests are stopped.

namespace quern {
namespace {

using Ids = std::vector<std::int32_t>;

struct LoopRun {
  Result result;
  Timing timing;
};

LoopRun run_with_checks(int skip, int interval, const Request& request) {
  EngineOptions options;
  options.skip_steps = skip;
  options.check_interval = interval;
  Engine engine = load(options);
  LoopRun run{engine.generate(request), {}};
  run.timing = engine.timing();
  return run;
}

TEST(Engine, SkipAndCheckChangeTheStepsByTheRuleAndNoToken) {
  // This golden case ends with </s> after 80 tokens.
  const Request request = greedy("The king had three sons.", 96);
  const LoopRun every = run_with_checks(0, 1, request);
  ASSERT_EQ(every.result.output_ids.size(), 80u);
  EXPECT_EQ(every.timing.steps_run, 80u);
  EXPECT_EQ(every.timing.stop_checks, 80u);
  for (const int skip : {0, 1, 8, 79, 80, 81, 90, 200}) {
    for (const int interval : {1, 3, 4, 7, 50, 1000}) {
      const LoopRun run = run_with_checks(skip, interval, request);
      EXPECT_EQ(run.result.output_ids, every.result.output_ids) << skip << " " << interval;
      // Stop checks at S, S + C, … and at the limit of 96, until one comes at or after step 80.
      std::uint64_t step = skip > 0 ? static_cast<unsigned>(skip) : static_cast<unsigned>(interval);
      std::uint64_t checks = 1;
      for (; step < 80; ++checks) step += static_cast<unsigned>(interval);
      EXPECT_EQ(run.timing.steps_run, std::min<std::uint64_t>(step, 96)) << skip << " " << interval;
      EXPECT_EQ(run.timing.stop_checks, checks) << skip << " " << interval;
    }
  }
}

TEST(Engine, LooksAtTheLimit) {
  const LoopRun run = run_with_checks(8, 4, greedy("The king", 10));
  EXPECT_EQ(run.result.output_ids.size(), 10u);
  EXPECT_EQ(run.timing.steps_run, 10u);
  EXPECT_EQ(run.timing.stop_checks, 2u);
}

TEST(Engine, SparseChecksChangeNoTokenOfAStopStringOrABatch) {
  auto requests = sixteen_requests(true);
  for (Request& request : requests) request.stop = {" king", " and"};
  const auto expected = load().generate(requests);
  for (const auto& [skip, interval] : {std::pair{0, 5}, std::pair{8, 4}, std::pair{0, 1000}}) {
    EngineOptions options;
    options.skip_steps = skip;
    options.check_interval = interval;
    const auto results = load(options).generate(requests);
    for (std::size_t i = 0; i < results.size(); ++i) {
      EXPECT_EQ(results[i].output_ids, expected[i].output_ids);
      EXPECT_EQ(results[i].text, expected[i].text);
      EXPECT_EQ(results[i].finish_reason, expected[i].finish_reason);
    }
  }
}

TEST(Engine, StopStringEndsTheText) {
  Engine engine = load();
  const std::string whole = engine.generate(greedy("The king had three sons.", 60)).text;
  Request request = greedy("The king had three sons.", 60);
  request.stop = {"never to be found", whole.substr(20, 9)};
  const Result result = engine.generate(request);
  EXPECT_EQ(result.finish_reason, FinishReason::stop_string);
  EXPECT_EQ(result.text, whole.substr(0, whole.find(whole.substr(20, 9))));
}

TEST(Engine, StreamedTextJoinsToTheResult) {
  Engine engine = load();
  std::string text;
  Ids ids;
  int updates = 0;
  const Result result = engine.generate(greedy("Once upon a time", 40), [&](const Update& update) {
    text += update.text;
    ids.insert(ids.end(), update.token_ids.begin(), update.token_ids.end());
    ++updates;
    return true;
  });
  EXPECT_EQ(text, result.text);
  EXPECT_EQ(ids, result.output_ids);
  EXPECT_GE(updates, 40);
}

TEST(Engine, CallbackCancelsOneRequestAndTheOtherRunsOn) {
  Engine engine = load();
  const std::vector<Request> requests = {greedy("Once upon a time", 30), greedy("The fox", 30)};
  RequestId first = 0;
  const auto results = engine.generate(requests, [&](const Update& update) {
    if (first == 0) first = update.id;
    return update.id != first;
  });
  EXPECT_EQ(results[0].finish_reason, FinishReason::cancelled);
  EXPECT_LT(results[0].output_ids.size(), 5u);
  EXPECT_EQ(results[1].output_ids, load().generate(requests[1]).output_ids);
}

TEST(Engine, CancelFreesTheRowForAnotherWithoutMixingTokens) {
  EngineOptions options;
  options.max_seqs = 1;
  options.check_interval = 16;
  Engine engine = load(options);
  const RequestId first = engine.submit(greedy("Once upon a time", 200));
  const RequestId second = engine.submit(greedy("The fox said to the", 20));
  engine.step();  // prefill: sampled, no stop check yet
  engine.cancel(first);
  engine.cancel(9999);
  while (engine.busy()) engine.step();
  EXPECT_EQ(engine.take_result(first)->finish_reason, FinishReason::cancelled);
  EXPECT_EQ(engine.take_result(second)->output_ids,
            load().generate(greedy("The fox said to the", 20)).output_ids);
  EXPECT_FALSE(engine.take_result(second));
}

TEST(Engine, CancelMayComeFromAnotherThread) {
  Engine engine = load();
  Request request = greedy("Once upon a time", 1900);
  request.ignore_eos = true;
  const RequestId id = engine.submit(request);
  engine.step();
  std::thread other([&] { engine.cancel(id); });
  while (engine.busy()) engine.step();
  other.join();
  EXPECT_EQ(engine.take_result(id)->finish_reason, FinishReason::cancelled);
}

}  // namespace
}  // namespace quern
