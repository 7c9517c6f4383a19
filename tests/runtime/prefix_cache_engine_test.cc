// The prefix cache of an engine: what is computed again, what is not, and that no answer changes.
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

#include "tests/runtime/cpu_engine.h"
#include "tests/runtime/error_checks.h"

namespace quern {
namespace {

using Ids = std::vector<std::int32_t>;

constexpr int kBlockTokens = 32;

/// A prompt of `shared` ids that depend on `salt` alone, then `own` others.
Request request_for(int shared, int own, int salt, int own_salt, int max_new_tokens = 20) {
  Request request = greedy("", max_new_tokens);
  request.prompt_ids = made_up_ids(shared, salt);
  const Ids rest = made_up_ids(own, own_salt);
  request.prompt_ids.insert(request.prompt_ids.end(), rest.begin(), rest.end());
  request.ignore_eos = true;
  request.top_logprobs = 5;
  return request;
}

EngineOptions without_cache() {
  EngineOptions options;
  options.prefix_cache = false;
  return options;
}

void expect_equal(const Result& result, const Result& expected) {
  EXPECT_EQ(result.output_ids, expected.output_ids);
  EXPECT_EQ(result.text, expected.text);
  ASSERT_EQ(result.logprobs.size(), expected.logprobs.size());
  for (std::size_t i = 0; i < result.logprobs.size(); ++i) {
    EXPECT_EQ(result.logprobs[i].logprob, expected.logprobs[i].logprob) << i;
    ASSERT_EQ(result.logprobs[i].top.size(), expected.logprobs[i].top.size());
    for (std::size_t k = 0; k < result.logprobs[i].top.size(); ++k) {
      EXPECT_EQ(result.logprobs[i].top[k].logprob, expected.logprobs[i].top[k].logprob);
    }
  }
}

class PrefixCacheOfEngine : public ::testing::TestWithParam<std::string> {};

TEST_P(PrefixCacheOfEngine, SharedBlocksGiveTheSameBits) {
  Engine cached = load({}, GetParam());
  Engine plain = load(without_cache(), GetParam());
  const Request first = request_for(100, 40, 1, 2);
  const Request second = request_for(100, 27, 1, 3);
  EXPECT_EQ(cached.generate(first).cached_prompt_tokens, 0);
  const Result result = cached.generate(second);
  EXPECT_EQ(result.cached_prompt_tokens, 3 * kBlockTokens) << "full blocks only";
  expect_equal(result, plain.generate(second));
  EXPECT_EQ(cached.timing().cached_prompt_tokens, 3u * kBlockTokens);
  EXPECT_EQ(cached.timing().prefill_tokens, 140u + 127u - 3 * kBlockTokens);
  EXPECT_EQ(plain.timing().cached_prompt_tokens, 0u);
}

TEST_P(PrefixCacheOfEngine, AnswersAreCachedWithTheirPrompts) {
  Engine cached = load({}, GetParam());
  const Request first = request_for(50, 0, 1, 2, 60);
  const Result answer = cached.generate(first);
  Request next = first;
  next.prompt_ids.insert(next.prompt_ids.end(), answer.output_ids.begin(), answer.output_ids.end());
  const Ids more = made_up_ids(10, 5);
  next.prompt_ids.insert(next.prompt_ids.end(), more.begin(), more.end());
  const Result result = cached.generate(next);
  EXPECT_EQ(result.cached_prompt_tokens, 96) << "of 109 tokens that were in the KV cache";
  expect_equal(result, load(without_cache(), GetParam()).generate(next));
}

INSTANTIATE_TEST_SUITE_P(Models, PrefixCacheOfEngine,
                         ::testing::Values("tale-gpt2", "tale-llama", "tale-qwen", "tale-qwen2"),
                         [](const auto& model) { return model.param.substr(5); });

TEST(PrefixCacheEngine, TheLastPromptTokenIsComputed) {
  Engine engine = load();
  const Request whole_blocks = request_for(2 * kBlockTokens, 0, 1, 0);
  const Result first = engine.generate(whole_blocks);
  const Result again = engine.generate(whole_blocks);
  EXPECT_EQ(again.cached_prompt_tokens, kBlockTokens);
  expect_equal(again, first);
}

TEST(PrefixCacheEngine, ARunningRequestSharesWhatItHasWritten) {
  Engine engine = load();
  const RequestId first = engine.submit(request_for(100, 0, 1, 0, 100));
  while (engine.step().empty()) {
  }
  const Request second = request_for(100, 9, 1, 4);
  const Result result = engine.generate(second);
  EXPECT_EQ(result.cached_prompt_tokens, 3 * kBlockTokens);
  expect_equal(result, load(without_cache()).generate(second));
  expect_equal(engine.take_result(first).value(),
               load(without_cache()).generate(request_for(100, 0, 1, 0, 100)));
}

TEST(PrefixCacheEngine, ACancelledPromptLeavesTheBlocksThatItHasWritten) {
  EngineOptions options;
  options.max_tokens_per_step = 64;
  Engine engine = load(options);
  const Request request = request_for(300, 0, 1, 0);
  const RequestId id = engine.submit(request);
  engine.step();  // the first chunk of five
  engine.cancel(id);
  while (engine.busy()) engine.step();
  const Result result = engine.generate(request);
  EXPECT_EQ(result.cached_prompt_tokens, 64);
  expect_equal(result, load(without_cache()).generate(request));
}

TEST(PrefixCacheEngine, PromptsThatFailAreComputedAgain) {
  const testing::PoisonedModel model;
  EngineOptions options;
  options.device = DeviceChoice::cpu;
  Engine engine = Engine::load(model.folder(), options);
  Request poisoned = request_for(100, 0, 1, 0);
  poisoned.prompt_ids.front() = testing::PoisonedModel::kPoison;
  for (int i = 0; i < 2; ++i) {
    const Result result = engine.generate(poisoned);
    EXPECT_EQ(result.finish_reason, FinishReason::error);
    EXPECT_EQ(result.cached_prompt_tokens, 0);
  }
  // A request that fails later leaves none of its blocks behind.
  Request later = request_for(100, 0, 1, 0);
  later.sampling.logit_bias = {{testing::PoisonedModel::kPoison, 1000.0f}};
  EXPECT_EQ(engine.generate(later).finish_reason, FinishReason::error);
  EXPECT_EQ(engine.generate(later).cached_prompt_tokens, 0);
}

TEST(PrefixCacheEngine, LogitsComputeEveryRow) {
  Engine engine = load();
  const Request request = request_for(100, 0, 1, 0);
  engine.generate(request);
  const auto logits = engine.logits(request.prompt_ids);
  EXPECT_TRUE(logits == load(without_cache()).logits(request.prompt_ids));
  EXPECT_EQ(engine.generate(request).cached_prompt_tokens, 3 * kBlockTokens)
      << "still there, and right";
}

TEST(PrefixCacheEngine, ASmallCacheEvictsAndForgetsNoAnswer) {
  EngineOptions options;
  options.max_seqs = 3;
  options.max_seq_len = 200;
  options.max_tokens_per_step = 48;
  Engine probe = load(options);
  // Ten blocks for three sequences of up to seven.
  const MemoryPlan& plan = probe.memory_plan();
  options.kv_cache_memory_bytes =
      10 * plan.kv_cache_bytes / static_cast<std::uint64_t>(plan.num_kv_blocks);
  Engine engine = load(options);
  Engine plain = load(without_cache());
  std::mt19937 random(7);
  const auto below = [&](unsigned bound) { return static_cast<int>(random() % bound); };
  std::map<RequestId, Request> live;
  std::uint64_t num_cached = 0;
  for (int submitted = 0; submitted < 60 || engine.busy();) {
    if (submitted < 60 && below(4) == 0) {
      const Request request =
          request_for(32 * below(4), 1 + below(40), below(3), below(5), 1 + below(30));
      live.emplace(engine.submit(request), request);
      ++submitted;
    }
    if (!live.empty() && below(40) == 0) engine.cancel(live.begin()->first);
    if (!engine.busy()) continue;
    for (const Update& update : engine.step()) {
      if (!update.finish_reason) continue;
      const Result result = engine.take_result(update.id).value();
      num_cached += static_cast<std::uint64_t>(result.cached_prompt_tokens);
      if (result.finish_reason != FinishReason::cancelled) {
        expect_equal(result, plain.generate(live.at(update.id)));
      }
      live.erase(update.id);
    }
  }
  EXPECT_EQ(engine.timing().cached_prompt_tokens, num_cached);
  EXPECT_GT(num_cached, 500u);
}

}  // namespace
}  // namespace quern
