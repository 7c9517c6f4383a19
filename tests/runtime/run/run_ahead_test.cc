// Steps that are launched before the results of the last are known give the tokens of a request
// alone, whatever comes, ends and is cancelled meanwhile.
#include <gtest/gtest.h>

#include <random>
#include <tuple>

#include "tests/runtime/run/deferred_backend.h"
#include "tests/runtime/run/traffic.h"

namespace quern {
namespace {

using testing::DeferredBackend;
using testing::Lag;
using testing::Requests;
using testing::Traffic;
using testing::traffic_model;
using Impl = EngineAccess::Impl;

EngineOptions ahead_options() {
  EngineOptions options;
  options.device = DeviceChoice::cpu;
  options.threads = 1;
  options.max_seqs = 4;
  options.max_seq_len = 64;
  options.max_tokens_per_step = 24;
  options.max_mixed_tokens = 10;
  return resolve_options(options);
}

Request short_request(std::mt19937& random) {
  const auto below = [&](int bound) { return static_cast<int>(random() % unsigned(bound)); };
  Request request;
  const int prompt_len = 1 + (below(3) == 0 ? below(40) : below(12));
  for (int i = 0; i < prompt_len; ++i) request.prompt_ids.push_back(10 + below(900));
  request.max_new_tokens = 1 + below(below(4) == 0 ? 2 : 20);
  request.sampling.temperature = 0.9f;
  request.sampling.seed = 1000u + random() % 1000u;
  request.ignore_eos = below(2) == 0;
  if (below(4) == 0) request.stop = {"e", "th"};
  if (below(4) == 0) request.top_logprobs = 2;
  if (below(3) == 0 && prompt_len < 20) {
    // A beginning that several share.
    request.prompt_ids.insert(request.prompt_ids.begin(), 32, 500);
  }
  if (below(6) == 0) {
    request.sampling = {};
    request.stop.clear();
    request.top_logprobs.reset();
    request.beam_search.num_beams = 2 + below(3);
    request.num_return_sequences = 1 + below(2);
    request.max_new_tokens = 1 + below(8);
  } else if (below(4) == 0) {
    request.num_return_sequences = 2 + below(2);
  }
  return request;
}

const Requests& short_requests() {
  static const Requests all = [] {
    Requests made;
    std::mt19937 random(7);
    EngineOptions options = ahead_options();
    options.prefix_cache = false;
    Engine alone = Engine::load(traffic_model(), options);
    for (int i = 0; i < 40; ++i) {
      made.requests.push_back(short_request(random));
      made.expected.push_back(alone.generate(made.requests.back()));
    }
    return made;
  }();
  return all;
}

class RunAheadTest : public ::testing::TestWithParam<std::tuple<Lag, bool>> {
 protected:
  Impl engine(const EngineOptions& options, std::uint32_t seed = 1) {
    const auto& [lag, device_loops] = GetParam();
    return {traffic_model(), options, std::make_unique<DeferredBackend>(lag, device_loops, seed)};
  }
};

TEST_P(RunAheadTest, RandomTrafficGivesWhatEachRequestGivesAlone) {
  for (std::uint32_t seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE(seed);
    Impl impl = engine(ahead_options(), seed);
    Traffic(impl, short_requests(), seed).run();
    if (HasFatalFailure()) return;
  }
}

TEST_P(RunAheadTest, TheHostDoesNotWaitWhileRequestsWait) {
  Impl impl = engine(ahead_options());
  ASSERT_TRUE(impl.plan().runs_ahead);
  Request request;
  request.prompt_ids = {10, 20, 30};
  request.max_new_tokens = 6;
  request.ignore_eos = true;
  for (int i = 0; i < 20; ++i) impl.submit(request);
  while (impl.busy() && impl.timing().steps_run < 24) impl.step();
  EXPECT_EQ(impl.timing().host_syncs, 0u);
  // 16 of the 20 answers have begun when the host first has to: five rows of six steps each.
  while (impl.busy()) impl.step();
  EXPECT_LE(impl.timing().host_syncs, 8u);
}

TEST_P(RunAheadTest, ARowAtItsLimitIsUsedByTheNextStep) {
  EngineOptions options = ahead_options();
  options.max_seqs = 1;
  Impl impl = engine(options);
  Request request;
  request.prompt_ids = {10, 20, 30};
  request.max_new_tokens = 4;
  request.ignore_eos = true;
  for (int i = 0; i < 10; ++i) impl.submit(request);
  while (impl.busy()) impl.step();
  EXPECT_EQ(impl.timing().steps_run, 40u) << "no step ran for nobody";
}

TEST(RunAheadTokensTest, TokensOfAMixedStepDoNotWaitForTheNext) {
  for (const bool device_loops : {false, true}) {
    const EngineOptions options = ahead_options();
    Impl impl(traffic_model(), options,
              std::make_unique<DeferredBackend>(Lag::full, device_loops, 1));
    Request request;
    request.prompt_ids = {10, 20, 30};
    request.max_new_tokens = 40;
    request.ignore_eos = true;
    const RequestId decoding = impl.submit(request);
    for (int i = 0; i < 8; ++i) impl.step();
    request.prompt_ids.assign(2 * options.max_tokens_per_step, 40);  // three chunks
    const RequestId prompt = impl.submit(request);
    for (bool began = false; !began && impl.busy();) {
      for (const Update& update : impl.step()) {
        if (update.id == decoding) {
          EXPECT_LE(update.token_ids.size(), 1u) << device_loops;
        }
        began |= update.id == prompt;
      }
    }
  }
}

TEST(RunAheadTokensTest, ADeviceLoopEndsWithTheStepInWhichSomebodyArrives) {
  for (const bool is_announced : {false, true}) {
    Impl impl(traffic_model(), ahead_options(),
              std::make_unique<DeferredBackend>(Lag::full, true, 1));
    bool arrives = false;
    if (is_announced) impl.watch_arrivals([&] { return arrives; });
    Request request;
    request.prompt_ids = {10, 20, 30};
    request.max_new_tokens = 40;
    request.ignore_eos = true;
    impl.submit(request);
    while (impl.timing().loop != LoopRunner::device) impl.step();
    arrives = true;
    std::size_t tokens = 0;
    for (const Update& update : impl.step()) tokens += update.token_ids.size();
    const RequestId late = impl.submit(request);
    for (bool began = false; !began;) {
      for (const Update& update : impl.step()) {
        if (update.id == late) began = true;
        if (update.id != late && !began) tokens += update.token_ids.size();
      }
    }
    // The step in which it arrives, the next one where the loop learns of it too late, its prefill.
    EXPECT_EQ(tokens, is_announced ? 2u : 3u);
  }
}

TEST_P(RunAheadTest, AnswersOfOneTokenShareThePrefixesOfThoseBefore) {
  EngineOptions options = ahead_options();
  options.max_seqs = 1;
  Impl impl = engine(options);
  Request request;
  request.max_new_tokens = 1;
  for (std::int32_t i = 0; i < 6; ++i) {
    request.prompt_ids.assign(40, 500);
    request.prompt_ids.back() = 10 + i;
    impl.submit(request);
  }
  while (impl.busy()) impl.step();
  EXPECT_EQ(impl.timing().cached_prompt_tokens, 5u * 32u) << "the first block of all but the first";
}

std::string ahead_name_of(const ::testing::TestParamInfo<std::tuple<Lag, bool>>& info) {
  const auto& [lag, device_loops] = info.param;
  const char* lag_name = lag == Lag::none ? "no_lag" : lag == Lag::full ? "full_lag" : "any_lag";
  return std::string(lag_name) + (device_loops ? "_device_loops" : "_host");
}

INSTANTIATE_TEST_SUITE_P(Devices, RunAheadTest,
                         ::testing::Combine(::testing::Values(Lag::none, Lag::full, Lag::random),
                                            ::testing::Bool()),
                         ahead_name_of);

}  // namespace
}  // namespace quern
