// Log-probabilities of the prompt: those of Engine::logits, whatever else runs.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "tests/runtime/cpu_engine.h"
#include "tests/support/changed_model.h"
#include "tests/support/expect_error.h"

namespace quern {
namespace {

using Ids = std::vector<std::int32_t>;

Request judged(const Ids& ids, int num_top, int max_new_tokens = 4) {
  Request request = greedy("", max_new_tokens);
  request.prompt_ids = ids;
  request.prompt_logprobs = num_top;
  request.ignore_eos = true;
  return request;
}

void expect_equal(const std::vector<TokenLogprobs>& actual,
                  const std::vector<TokenLogprobs>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    EXPECT_EQ(actual[i].id, expected[i].id);
    EXPECT_EQ(actual[i].logprob, expected[i].logprob) << i;
    ASSERT_EQ(actual[i].top.size(), expected[i].top.size());
    for (std::size_t k = 0; k < actual[i].top.size(); ++k) {
      EXPECT_EQ(actual[i].top[k].id, expected[i].top[k].id) << i;
      EXPECT_EQ(actual[i].top[k].logprob, expected[i].top[k].logprob) << i;
    }
  }
}

/// Every float operation of the engine's rounds to half a unit in the last place of the row's
/// largest numbers, which are under 64.
constexpr double kRounding = 64 * 0x1p-22;

void expect_of_logits(const std::vector<TokenLogprobs>& actual, const Ids& ids,
                      const std::vector<float>& logits, std::size_t num_top) {
  const std::size_t vocab_size = logits.size() / ids.size();
  ASSERT_EQ(actual.size(), ids.size() - 1);
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const std::span<const float> row = std::span(logits).subspan(i * vocab_size, vocab_size);
    ASSERT_LT(std::ranges::max(row), 64.0f);
    double sum = 0;
    for (const float logit : row) sum += std::exp(double{logit});
    const auto logprob = [&](std::int32_t id) {
      return row[static_cast<std::size_t>(id)] - std::log(sum);
    };
    EXPECT_EQ(actual[i].id, ids[i + 1]);
    EXPECT_NEAR(actual[i].logprob, logprob(ids[i + 1]), kRounding);
    std::vector<std::int32_t> order(vocab_size);
    for (std::size_t id = 0; id < vocab_size; ++id) order[id] = static_cast<std::int32_t>(id);
    std::ranges::stable_sort(order, [&](auto a, auto b) {
      return row[static_cast<std::size_t>(a)] > row[static_cast<std::size_t>(b)];
    });
    ASSERT_EQ(actual[i].top.size(), num_top);
    for (std::size_t k = 0; k < num_top; ++k) {
      EXPECT_EQ(actual[i].top[k].id, order[k]);
      EXPECT_NEAR(actual[i].top[k].logprob, logprob(order[k]), kRounding);
    }
  }
}

class PromptLogprobs : public ::testing::TestWithParam<std::string> {};

TEST_P(PromptLogprobs, AreThoseOfTheLogits) {
  const Ids ids = made_up_ids(150);
  Engine whole = load({}, GetParam());
  const Result result = whole.generate(judged(ids, 5));
  expect_of_logits(result.prompt_logprobs, ids, whole.logits(ids), 5);
  // In chunks, of which one ends before the last token and one begins with it.
  for (const int chunk : {16, 149}) {
    EngineOptions options;
    options.max_seqs = 8;
    options.max_tokens_per_step = chunk;
    Engine chunked = load(options, GetParam());
    const Result other = chunked.generate(judged(ids, 5));
    expect_equal(other.prompt_logprobs, result.prompt_logprobs);
    EXPECT_EQ(other.output_ids, result.output_ids);
  }
}

TEST_P(PromptLogprobs, OfAnAnswerAreTheAnswers) {
  Engine engine = load({}, GetParam());
  Request request = judged(made_up_ids(40), 3, 20);
  request.top_logprobs = 3;
  const Result written = engine.generate(request);
  Ids all = written.prompt_ids;
  all.insert(all.end(), written.output_ids.begin(), written.output_ids.end());
  const Result read = engine.generate(judged(all, 3));
  std::vector<TokenLogprobs> expected = written.prompt_logprobs;
  expected.insert(expected.end(), written.logprobs.begin(), written.logprobs.end());
  expect_equal(read.prompt_logprobs, expected);
}

INSTANTIATE_TEST_SUITE_P(Models, PromptLogprobs,
                         ::testing::Values("tale-gpt2", "tale-llama", "tale-qwen", "tale-qwen2"));

TEST(PromptLogprobsOfEngine, DoNotDependOnTheBatch) {
  std::vector<Request> requests = sixteen_requests(true);
  for (std::size_t i = 0; i < requests.size(); i += 2) requests[i].prompt_logprobs = 2;
  requests[4].sampling = {};
  requests[4].beam_search.num_beams = 3;
  EngineOptions one_row;
  one_row.max_seqs = 3;
  Engine single = load(one_row);
  std::vector<Result> alone;
  for (const Request& request : requests) alone.push_back(single.generate(request));
  for (const bool profile : {false, true}) {
    EngineOptions options;
    options.max_seqs = 8;
    options.max_tokens_per_step = 96;  // so that prefill and decode mix
    options.profile = profile;
    Engine engine = load(options);
    const auto together = engine.generate(requests);
    for (std::size_t i = 0; i < requests.size(); ++i) {
      EXPECT_EQ(together[i].output_ids, alone[i].output_ids) << i;
      EXPECT_EQ(together[i].score, alone[i].score) << i;
      EXPECT_EQ(together[i].prompt_logprobs.size(),
                i % 2 == 0 ? together[i].prompt_ids.size() - 1 : 0);
      expect_equal(together[i].prompt_logprobs, alone[i].prompt_logprobs);
    }
  }
}

TEST(PromptLogprobsOfEngine, ComeWithTheFirstUpdateOfTheFirstAnswer) {
  EngineOptions options;
  options.max_seqs = 4;
  options.max_tokens_per_step = 32;
  Engine engine = load(options);
  Request request = judged(made_up_ids(100), 1, 6);
  request.sampling = {};
  request.sampling.temperature = 1.0f;
  request.num_return_sequences = 3;
  int num_updates = 0;
  const Result result = engine.generate(request, [&](const Update& update) {
    const bool first = num_updates++ == 0;
    EXPECT_EQ(update.prompt_logprobs.size(), first ? 99u : 0u);
    EXPECT_TRUE(!first || update.sequence == 0);
    return true;
  });
  EXPECT_GT(num_updates, 3);
  EXPECT_EQ(result.prompt_logprobs.size(), 99u);
}

TEST(PromptLogprobsOfEngine, ComeWithTheFirstBeamOnly) {
  EngineOptions options;
  options.max_seqs = 4;
  Engine engine = load(options);
  Request request = judged(made_up_ids(50), 1, 6);
  request.sampling = {};
  request.beam_search.num_beams = 4;
  request.num_return_sequences = 3;
  int num_updates = 0;
  const Result result = engine.generate(request, [&](const Update& update) {
    EXPECT_EQ(update.prompt_logprobs.size(), update.sequence == 0 ? 49u : 0u);
    ++num_updates;
    return true;
  });
  EXPECT_EQ(num_updates, 3);
  EXPECT_EQ(result.prompt_logprobs.size(), 49u);
}

TEST(PromptLogprobsOfEngine, FillThePrefixCacheAndDoNotUseIt) {
  Engine engine = load();
  const Ids ids = made_up_ids(100);
  const Result first = engine.generate(judged(ids, 2));
  const Result second = engine.generate(judged(ids, 2));
  EXPECT_EQ(second.cached_prompt_tokens, 0);
  expect_equal(second.prompt_logprobs, first.prompt_logprobs);
  Request other = judged(ids, 2);
  other.prompt_logprobs.reset();
  const Result third = engine.generate(other);
  EXPECT_EQ(third.cached_prompt_tokens, 96);
  EXPECT_TRUE(third.prompt_logprobs.empty());
  EXPECT_EQ(third.output_ids, first.output_ids);
}

TEST(PromptLogprobsOfEngine, OfOneTokenAreNone) {
  Engine engine = load();
  const Result result = engine.generate(judged({5}, 3));
  EXPECT_TRUE(result.prompt_logprobs.empty());
  EXPECT_EQ(result.output_ids.size(), 4u);
}

TEST(PromptLogprobsOfEngine, OutOfRangeAreRefused) {
  Engine engine = load();
  for (const int count : {-1, kMaxTopLogprobs + 1}) {
    EXPECT_QUERN_ERROR(ErrorCode::invalid_argument,
                       ({"prompt_logprobs", std::to_string(count), "from 0 to 20"}),
                       engine.submit(judged({5, 6}, count)));
  }
}

TEST(PromptLogprobsOfEngine, NanEndsTheRequestAlone) {
  const testing::PoisonedModel model;
  EngineOptions options;
  options.device = DeviceChoice::cpu;
  options.max_seqs = 2;
  options.max_tokens_per_step = 32;
  Engine engine = Engine::load(model.folder(), options);
  Ids poisoned = made_up_ids(100);
  poisoned[50] = testing::PoisonedModel::kPoison;
  std::vector<Request> requests = {judged(poisoned, 1), judged(made_up_ids(90), 1),
                                   judged(poisoned, 1)};
  requests[2].sampling = {};
  requests[2].sampling.temperature = 1.0f;
  requests[2].num_return_sequences = 3;
  const auto results = engine.generate(requests);
  ASSERT_EQ(results[2].sequences.size(), 3u);
  for (const SequenceResult& answer : results[2].sequences) {
    EXPECT_EQ(answer.finish_reason, FinishReason::error);
  }
  EXPECT_EQ(results[0].finish_reason, FinishReason::error);
  EXPECT_NE(results[0].error.find("non-finite"), std::string::npos) << results[0].error;
  EXPECT_TRUE(results[0].output_ids.empty());
  EXPECT_EQ(results[0].prompt_logprobs.size(), 50u);  // of the tokens up to the poisoned one
  EXPECT_EQ(results[1].finish_reason, FinishReason::length);
  EXPECT_EQ(results[1].prompt_logprobs.size(), 89u);
}

}  // namespace
}  // namespace quern
