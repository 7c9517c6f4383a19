// Sequences whose KV blocks grow, on a cache that is too small for them: those that are preempted
// go on with the tokens that they would have given anyway.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>
#include <tuple>

#include "tests/runtime/run/deferred_backend.h"
#include "tests/runtime/run/traffic.h"
#include "tests/support/changed_model.h"

namespace quern {
namespace {

using testing::DeferredBackend;
using testing::Lag;
using testing::Requests;
using testing::Traffic;
using testing::traffic_model;
using Impl = EngineAccess::Impl;

EngineOptions small_cache() {
  EngineOptions options;
  options.device = DeviceChoice::cpu;
  options.threads = 1;
  options.max_seqs = 6;
  options.max_seq_len = 224;
  options.max_tokens_per_step = 40;
  options.max_mixed_tokens = 16;
  options.kv_reservation = KvReservation::grow;
  return resolve_options(options);
}

/// The options with a cache of that many blocks.
EngineOptions with_blocks(EngineOptions options, std::uint64_t num_blocks) {
  const MemoryPlan plan = inspect(traffic_model(), options).memory_plan;
  options.kv_cache_memory_bytes =
      plan.kv_cache_bytes / static_cast<std::uint64_t>(plan.num_kv_blocks) * num_blocks;
  return options;
}

Request random_request(std::mt19937& random) {
  const auto below = [&](int bound) { return static_cast<int>(random() % unsigned(bound)); };
  Request request;
  const int prompt_len = 1 + below(below(5) == 0 ? 60 : 20);
  for (int i = 0; i < prompt_len; ++i) request.prompt_ids.push_back(10 + below(900));
  if (below(5) == 0) request.prompt_ids.insert(request.prompt_ids.begin(), 32, 500);
  request.max_new_tokens = 30 + below(120);
  request.ignore_eos = below(6) > 0;
  request.sampling.temperature = 0.9f;
  request.sampling.seed = 1000u + random() % 1000u;
  // What looks at the history, which a preempted sequence must have again.
  if (below(3) == 0) request.sampling.repetition_penalty = 1.3f;
  if (below(3) == 0) request.sampling.presence_penalty = 0.7f;
  if (below(4) == 0) request.sampling.no_repeat_ngram_size = 3;
  if (*request.sampling.seed % 3 == 0) request.sampling.mirostat_tau = 3.0f;
  if (below(4) == 0) request.min_new_tokens = 1 + below(*request.max_new_tokens);
  if (below(8) == 0) request.stop = {"e", "th"};
  if (below(4) == 0) request.top_logprobs = 2;
  if (below(8) == 0) {
    request.sampling = {};
    request.top_logprobs.reset();
    request.min_new_tokens.reset();
    request.beam_search.num_beams = 2;
    request.max_new_tokens = 1 + below(8);
  } else if (below(5) == 0) {
    request.num_return_sequences = 2 + below(2);
  }
  return request;
}

const Requests& many_requests() {
  static const Requests all = [] {
    Requests made;
    std::mt19937 random(11);
    EngineOptions options = small_cache();
    options.prefix_cache = false;
    options.kv_reservation = KvReservation::full;
    Engine alone = Engine::load(traffic_model(), options);
    for (int i = 0; i < 24; ++i) {
      made.requests.push_back(random_request(random));
      made.expected.push_back(alone.generate(made.requests.back()));
    }
    return made;
  }();
  return all;
}

class PreemptionTest : public ::testing::TestWithParam<std::tuple<Lag, bool, bool>> {};

TEST_P(PreemptionTest, RandomTrafficGivesWhatEachRequestGivesAlone) {
  const auto& [lag, device_loops, prefix_cache] = GetParam();
  std::uint64_t num_preemptions = 0;
  for (std::uint32_t seed = 1; seed <= 2; ++seed) {
    SCOPED_TRACE(seed);
    EngineOptions options = with_blocks(small_cache(), 7);
    options.prefix_cache = prefix_cache;
    Impl impl(traffic_model(), options, std::make_unique<DeferredBackend>(lag, device_loops, seed));
    ASSERT_EQ(impl.use().num_blocks, 7);
    Traffic(impl, many_requests(), seed).run();
    if (HasFatalFailure()) return;
    EXPECT_EQ(impl.use().num_held_blocks, 0);
    EXPECT_EQ(impl.use().num_free_rows, 6u);
    num_preemptions += impl.use().num_preemptions;
  }
  EXPECT_GE(num_preemptions, 5u) << "there was pressure";
}

std::string name_of(const ::testing::TestParamInfo<std::tuple<Lag, bool, bool>>& info) {
  const auto& [lag, device_loops, prefix_cache] = info.param;
  return std::string(lag == Lag::full ? "full_lag" : "any_lag") +
         (device_loops ? "_device_loops" : "_host") + (prefix_cache ? "_prefixes" : "");
}

INSTANTIATE_TEST_SUITE_P(Devices, PreemptionTest,
                         ::testing::Combine(::testing::Values(Lag::full, Lag::random),
                                            ::testing::Bool(), ::testing::Bool()),
                         name_of);

/// On the CPU backend itself, in every schedule of stop checks.
TEST(Preemption, GivesTheSameTokensWhateverTheStopChecks) {
  std::vector<Request> requests;
  for (const Request& request : many_requests().requests) {
    if (request.beam_search.num_beams == 1) requests.push_back(request);
  }
  std::vector<Result> expected;
  for (std::size_t i = 0; i < many_requests().requests.size(); ++i) {
    if (many_requests().requests[i].beam_search.num_beams == 1) {
      expected.push_back(many_requests().expected[i]);
    }
  }
  for (const int check_interval : {1, 7}) {
    SCOPED_TRACE(check_interval);
    EngineOptions options = with_blocks(small_cache(), 8);
    options.check_interval = check_interval;
    Engine engine = Engine::load(traffic_model(), options);
    const std::vector<Result> results = engine.generate(requests);
    for (std::size_t i = 0; i < requests.size(); ++i) {
      EXPECT_EQ(results[i].output_ids, expected[i].output_ids) << i;
      EXPECT_EQ(results[i].text, expected[i].text) << i;
      ASSERT_EQ(results[i].logprobs.size(), expected[i].logprobs.size());
      for (std::size_t n = 0; n < results[i].logprobs.size(); ++n) {
        EXPECT_EQ(results[i].logprobs[n].logprob, expected[i].logprobs[n].logprob);
      }
    }
    EXPECT_GT(EngineAccess::impl(engine).use().num_preemptions, 10u);
  }
}

/// Where the rope's base grows with the text, keys that were computed early are not those that a
/// prompt of all tokens would give: such a sequence holds all its blocks.
TEST(Preemption, AGrowingRopeReservesAll) {
  const testing::ChangedModel model("tale-llama");
  const std::filesystem::path path = std::filesystem::path(model.folder()) / "config.json";
  auto config = nlohmann::json::parse(testing::read_file(path));
  config["rope_scaling"] = {{"rope_type", "dynamic"}, {"factor", 2.0}};
  config["max_position_embeddings"] = 64;
  testing::write_file(path, config.dump());
  Engine engine = Engine::load(model.folder(), small_cache());
  Impl& impl = EngineAccess::impl(engine);
  Request request;
  request.prompt_ids.assign(40, 100);
  request.max_new_tokens = 20;
  EXPECT_TRUE(impl.prepare(request, 0).sequences.front()->is_recomputable);
  request.max_new_tokens = 60;
  EXPECT_FALSE(impl.prepare(request, 0).sequences.front()->is_recomputable);
}

}  // namespace
}  // namespace quern
