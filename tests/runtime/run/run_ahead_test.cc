// Steps that are launched before the results of the last are known give the tokens of a request
// alone, whatever comes, ends and is cancelled meanwhile.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <tuple>

#include "runtime/engine_access.h"
#include "tests/runtime/cpu_engine.h"
#include "tests/runtime/run/deferred_backend.h"

namespace quern {
namespace {

using testing::DeferredBackend;
using testing::Lag;
using Impl = EngineAccess::Impl;
using Ids = std::vector<std::int32_t>;

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

std::string model_path() { return testing::demo_model("tale-gpt2").string(); }

/// Requests that end in every way, and what each gives alone.
struct Requests {
  std::vector<Request> requests;
  std::vector<Result> expected;
};

Request random_request(std::mt19937& random) {
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

const Requests& many_requests() {
  static const Requests all = [] {
    Requests made;
    std::mt19937 random(7);
    EngineOptions options = ahead_options();
    options.prefix_cache = false;
    Engine alone = Engine::load(model_path(), options);
    for (int i = 0; i < 40; ++i) {
      made.requests.push_back(random_request(random));
      made.expected.push_back(alone.generate(made.requests.back()));
    }
    return made;
  }();
  return all;
}

/// Random arrivals and cancellations on one engine.
class Traffic {
 public:
  Traffic(Impl& engine, std::uint32_t seed) : engine_(engine), random_(seed) {}

  void run() {
    const Requests& all = many_requests();
    for (int calls = 0; submitted_ < all.requests.size() || engine_.busy(); ++calls) {
      ASSERT_LT(calls, 20000) << "a request starves";
      const unsigned what = below(16);
      if (what < burst_ && submitted_ < all.requests.size()) submit();
      if (what == 15) cancel();
      if (engine_.busy()) step();
      if (below(32) == 0) burst_ = below(12);
    }
    EXPECT_EQ(results_.size(), all.requests.size());
  }

 private:
  unsigned below(unsigned bound) { return static_cast<unsigned>(random_()) % bound; }
  void submit() {
    const RequestId id = engine_.submit(many_requests().requests[submitted_]);
    index_of_[id] = submitted_++;
    live_.push_back(id);
  }
  void cancel() {
    if (live_.empty() || below(2) == 0) return;
    const RequestId id = live_[below(static_cast<unsigned>(live_.size()))];
    cancelled_.push_back(id);
    engine_.cancel(id);
  }
  void step() {
    for (const Update& update : engine_.step()) {
      if (update.sequence == 0) {
        Ids& ids = streamed_[update.id];
        ids.insert(ids.end(), update.token_ids.begin(), update.token_ids.end());
      }
      if (update.last) take_result(update.id);
    }
  }
  void take_result(RequestId id) {
    const std::size_t index = index_of_.at(id);
    SCOPED_TRACE(index);
    const auto result = engine_.take_result(id);
    ASSERT_TRUE(result);
    ASSERT_TRUE(results_.insert(id).second) << "ended twice";
    live_.erase(std::find(live_.begin(), live_.end(), id));
    const Result& expected = many_requests().expected[index];
    EXPECT_EQ(streamed_[id], result->output_ids);
    const auto was_cancelled = [](const auto& answer) {
      return answer.finish_reason == FinishReason::cancelled;
    };
    if (was_cancelled(*result) || std::ranges::any_of(result->sequences, was_cancelled)) {
      EXPECT_NE(std::find(cancelled_.begin(), cancelled_.end(), id), cancelled_.end());
      if (many_requests().requests[index].beam_search.num_beams > 1) return;
      ASSERT_LE(result->output_ids.size(), expected.output_ids.size());
      EXPECT_TRUE(std::equal(result->output_ids.begin(), result->output_ids.end(),
                             expected.output_ids.begin()));
      return;
    }
    EXPECT_EQ(result->output_ids, expected.output_ids);
    EXPECT_EQ(result->text, expected.text);
    EXPECT_EQ(result->finish_reason, expected.finish_reason) << result->error;
    EXPECT_EQ(result->logprobs.size(), expected.logprobs.size());
    EXPECT_EQ(result->score, expected.score);
    ASSERT_EQ(result->sequences.size(), expected.sequences.size());
    for (std::size_t i = 0; i < result->sequences.size(); ++i) {
      EXPECT_EQ(result->sequences[i].output_ids, expected.sequences[i].output_ids) << i;
      EXPECT_EQ(result->sequences[i].finish_reason, expected.sequences[i].finish_reason) << i;
    }
  }

  Impl& engine_;
  std::mt19937 random_;
  unsigned burst_ = 8;
  std::size_t submitted_ = 0;
  std::map<RequestId, std::size_t> index_of_;
  std::map<RequestId, Ids> streamed_;
  std::vector<RequestId> live_, cancelled_;
  std::set<RequestId> results_;
};

class RunAheadTest : public ::testing::TestWithParam<std::tuple<Lag, bool>> {
 protected:
  Impl engine(const EngineOptions& options, std::uint32_t seed = 1) {
    const auto& [lag, device_loops] = GetParam();
    return {model_path(), options, std::make_unique<DeferredBackend>(lag, device_loops, seed)};
  }
};

TEST_P(RunAheadTest, RandomTrafficGivesWhatEachRequestGivesAlone) {
  for (std::uint32_t seed = 1; seed <= 4; ++seed) {
    SCOPED_TRACE(seed);
    Impl impl = engine(ahead_options(), seed);
    Traffic(impl, seed).run();
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

std::string name_of(const ::testing::TestParamInfo<std::tuple<Lag, bool>>& info) {
  const auto& [lag, device_loops] = info.param;
  const char* lag_name = lag == Lag::none ? "no_lag" : lag == Lag::full ? "full_lag" : "any_lag";
  return std::string(lag_name) + (device_loops ? "_device_loops" : "_host");
}

INSTANTIATE_TEST_SUITE_P(Devices, RunAheadTest,
                         ::testing::Combine(::testing::Values(Lag::none, Lag::full, Lag::random),
                                            ::testing::Bool()),
                         name_of);

}  // namespace
}  // namespace quern
