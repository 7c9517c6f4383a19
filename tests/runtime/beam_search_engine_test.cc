// Beam search and several answers: transformers' beams, blocks shared, errors.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "tests/runtime/cpu_engine.h"
#include "tests/runtime/error_checks.h"
#include "tests/runtime/golden.h"
#include "tests/support/expect_error.h"

namespace quern {
namespace {

using Ids = std::vector<std::int32_t>;
using nlohmann::json;

constexpr double kScoreTolerance = 1e-3;

Request beams(const Ids& prompt_ids, int num_beams, int num_returned, int max_new_tokens) {
  Request request;
  request.prompt_ids = prompt_ids;
  request.beam_search.num_beams = num_beams;
  request.num_return_sequences = num_returned;
  request.max_new_tokens = max_new_tokens;
  return request;
}

/// The settings of a case of beams.json, as a request has them.
Request request_of(const json& test_case) {
  const json& config = test_case.at("config");
  const int num_beams = config.at("num_beams");
  Request request = beams(test_case.at("prompt_ids"), num_beams, num_beams, 24);
  request.ignore_eos = true;
  request.stop_token_ids = test_case.at("eos").get<Ids>();
  request.beam_search.length_penalty = config.value("length_penalty", 1.0f);
  if (const auto stopping = config.find("early_stopping"); stopping != config.end()) {
    request.beam_search.early_stopping =
        stopping->is_boolean() ? EarlyStopping::on : EarlyStopping::never;
  }
  if (config.contains("repetition_penalty")) {
    request.sampling.repetition_penalty = config.at("repetition_penalty").get<float>();
  }
  if (config.contains("no_repeat_ngram_size")) {
    request.sampling.no_repeat_ngram_size = config.at("no_repeat_ngram_size").get<int>();
  }
  if (config.contains("min_new_tokens")) request.min_new_tokens = config.at("min_new_tokens");
  return request;
}

void expect_answers(const Result& result, const json& sequences, const json& scores) {
  ASSERT_EQ(result.sequences.size(), sequences.size()) << result.error;
  for (std::size_t i = 0; i < sequences.size(); ++i) {
    EXPECT_EQ(result.sequences[i].output_ids, sequences[i].get<Ids>()) << i;
    EXPECT_NEAR(result.sequences[i].score.value(), scores[i].get<double>(), kScoreTolerance) << i;
  }
  EXPECT_EQ(result.output_ids, result.sequences[0].output_ids);
  EXPECT_EQ(result.text, result.sequences[0].text);
  EXPECT_EQ(result.score, result.sequences[0].score);
}

TEST(BeamSearchEngine, GivesTheGoldenBeams) {
  for (const auto& golden : testing::golden_models()) {
    SCOPED_TRACE(golden.model);
    Engine engine = load({}, golden.model);
    for (const json& test_case : testing::read_golden(golden.golden).at("cases")) {
      const json& ids = test_case.at("beam4_ids");
      const Result result =
          engine.generate(beams(test_case.at("prompt_ids"), 4, static_cast<int>(ids.size()),
                                static_cast<int>(ids[0].size())));
      expect_answers(result, ids, test_case.at("beam4_scores"));
    }
  }
}

TEST(BeamSearchEngine, FollowsTransformersSettings) {
  const json all = json::parse(testing::read_file(testing::golden_file("beams.json")));
  std::map<std::string, Engine> engines;
  for (const json& test_case : all.at("cases")) {
    const std::string model = test_case.at("model");
    if (!engines.contains(model)) engines.emplace(model, load({}, model));
    SCOPED_TRACE(model + " " + test_case.at("config").dump());
    expect_answers(engines.at(model).generate(request_of(test_case)), test_case.at("sequences"),
                   test_case.at("scores"));
  }
}

TEST(BeamSearchEngine, StopStringsEndBeamsAsInTransformers) {
  const json all = json::parse(testing::read_file(testing::golden_file("beam_stops.json")));
  std::map<std::string, Engine> engines;
  int num_stopped = 0;
  for (const json& test_case : all.at("cases")) {
    const std::string model = test_case.at("model");
    if (!engines.contains(model)) engines.emplace(model, load({}, model));
    SCOPED_TRACE(test_case.dump().substr(0, 200));
    Request request = request_of(test_case);
    request.stop = test_case.at("stop").get<std::vector<std::string>>();
    const Result result = engines.at(model).generate(request);
    expect_answers(result, test_case.at("sequences"), test_case.at("scores"));
    for (const SequenceResult& answer : result.sequences) {
      if (answer.finish_reason == FinishReason::stop_string) ++num_stopped;
      for (const std::string& stop : request.stop) {
        EXPECT_EQ(answer.text.find(stop), std::string::npos) << answer.text;
      }
    }
  }
  EXPECT_GT(num_stopped, 50);
}

TEST(BeamSearchEngine, RunsBesideOthersAndWithoutACache) {
  EngineOptions options;
  options.max_seqs = 6;
  options.max_tokens_per_step = 48;
  const Ids prompt = {1, 641, 284, 420, 398, 976, 298, 261, 1788, 300};
  const Result alone = load().generate(beams(prompt, 4, 2, 40));
  for (const bool cache : {true, false}) {
    options.prefix_cache = cache;
    options.check_interval = cache ? 1 : 7;
    Engine engine = load(options);
    std::vector<Request> requests = sixteen_requests(true);
    requests.insert(requests.begin() + 3, beams(prompt, 4, 2, 40));
    requests.push_back(beams(prompt, 4, 2, 40));
    const auto results = engine.generate(requests);
    for (const std::size_t i : {std::size_t{3}, requests.size() - 1}) {
      EXPECT_EQ(results[i].output_ids, alone.output_ids);
      EXPECT_EQ(results[i].sequences[1].output_ids, alone.sequences[1].output_ids);
      EXPECT_EQ(results[i].score, alone.score);
    }
    Engine single = load();
    for (std::size_t i = 4; i + 1 < requests.size(); ++i) {
      EXPECT_EQ(results[i].output_ids, single.generate(requests[i]).output_ids) << i;
    }
  }
}

TEST(BeamSearchEngine, CanBeCancelledAndLeavesNothingBehind) {
  EngineOptions options;
  options.max_seqs = 4;
  Engine engine = load(options);
  const Ids prompt = {1, 641, 284, 420, 398};
  const Result whole = engine.generate(beams(prompt, 4, 4, 40));
  for (int steps = 0; steps < 6; ++steps) {
    const RequestId id = engine.submit(beams(prompt, 4, 4, 40));
    for (int i = 0; i < steps; ++i) engine.step();
    engine.cancel(id);
    while (engine.busy()) engine.step();
    const auto result = engine.take_result(id);
    EXPECT_EQ(result->finish_reason, FinishReason::cancelled);
    EXPECT_EQ(result->output_ids.size(), static_cast<std::size_t>(steps)) << "the best so far";
  }
  EXPECT_EQ(engine.generate(beams(prompt, 4, 4, 40)).output_ids, whole.output_ids);
}

TEST(BeamSearchEngine, NonfiniteLogitsEndTheRequestAlone) {
  const testing::PoisonedModel model;
  EngineOptions options;
  options.device = DeviceChoice::cpu;
  Engine engine = Engine::load(model.folder(), options);
  const std::vector<Request> requests = {beams({1, testing::PoisonedModel::kPoison, 300}, 3, 1, 20),
                                         greedy("Once upon a time", 20)};
  const auto results = engine.generate(requests);
  EXPECT_EQ(results[0].finish_reason, FinishReason::error);
  EXPECT_NE(results[0].error.find("non-finite"), std::string::npos) << results[0].error;
  EXPECT_EQ(results[1].finish_reason, FinishReason::length);
}

TEST(BeamSearchEngine, RefusesWhatMakesNoSense) {
  Engine engine = load();
  const Request good = beams({1, 300}, 4, 1, 10);
  const auto refuses = [&](const auto& change, const std::string& text) {
    Request bad = good;
    change(bad);
    testing::expect_error(ErrorCode::invalid_argument, {text}, [&] { engine.submit(bad); });
  };
  refuses([](Request& r) { r.beam_search.num_beams = 0; }, "num_beams 0: expected 1 to 8");
  refuses([](Request& r) { r.beam_search.num_beams = 9; }, "num_beams 9: expected 1 to 8");
  refuses([](Request& r) { r.num_return_sequences = 5; }, "num_return_sequences 5");
  refuses([](Request& r) { r.num_return_sequences = 0; }, "num_return_sequences 0");
  refuses([](Request& r) { r.beam_search.length_penalty = NAN; }, "length_penalty");
  refuses([](Request& r) { r.sampling.temperature = 0.7f; }, "temperature");
  refuses([](Request& r) { r.sampling.top_k = 5; }, "top_k");
  refuses([](Request& r) { r.sampling.typical_p = 0.5f; }, "filters");
  refuses([](Request& r) { r.min_new_tokens = 11; }, "min_new_tokens 11");
  refuses([](Request& r) { r.min_new_tokens = -1; }, "min_new_tokens -1");
  refuses([](Request& r) { r.stop_token_ids = {-1}; }, "stop_token_ids: token id -1");
  refuses([](Request& r) { r.bad_words_ids = {{}}; }, "bad_words_ids");
  refuses([](Request& r) { r.bad_words_ids = {{1 << 20}}; }, "bad_words_ids: token id");
  refuses(
      [](Request& r) {
        r.beam_search.num_beams = 1;
        r.num_return_sequences = 2;
        r.sampling.greedy = true;
      },
      "greedy decoding has one answer");
  EXPECT_FALSE(engine.busy());
}

TEST(BeamSearchEngine, LogprobsAreThoseOfTheTexts) {
  Engine engine = load();
  for (const float penalty : {1.0f, 1.3f}) {
    Request request = beams({1, 300, 17, 44, 9, 120}, 4, 3, 12);
    request.ignore_eos = true;
    request.sampling.repetition_penalty = penalty;
    const Result without = engine.generate(request);
    request.top_logprobs = 2;
    const Result result = engine.generate(request);
    EXPECT_EQ(result.output_ids, without.output_ids);
    for (const SequenceResult& answer : result.sequences) {
      Request read = greedy("", 1);
      read.prompt_ids = result.prompt_ids;
      read.prompt_ids.insert(read.prompt_ids.end(), answer.output_ids.begin(),
                             answer.output_ids.end());
      read.prompt_logprobs = 2;
      const auto expected = engine.generate(read).prompt_logprobs;
      const std::size_t first = result.prompt_ids.size() - 1;
      ASSERT_EQ(answer.logprobs.size(), answer.output_ids.size());
      double sum = 0;
      for (std::size_t i = 0; i < answer.logprobs.size(); ++i) {
        EXPECT_EQ(answer.logprobs[i].id, expected[first + i].id);
        EXPECT_NEAR(answer.logprobs[i].logprob, expected[first + i].logprob, 1e-5);
        ASSERT_EQ(answer.logprobs[i].top.size(), 2u);
        for (std::size_t k = 0; k < 2; ++k) {
          EXPECT_EQ(answer.logprobs[i].top[k].id, expected[first + i].top[k].id);
          EXPECT_NEAR(answer.logprobs[i].top[k].logprob, expected[first + i].top[k].logprob, 1e-5);
        }
        sum += answer.logprobs[i].logprob;
      }
      // Without penalties the score is their mean.
      if (penalty == 1.0f) {
        EXPECT_NEAR(*answer.score, sum / 12, 1e-4);
      }
    }
  }
}

TEST(SeveralAnswers, AreDrawnApartAndShareThePrompt) {
  EngineOptions options;
  options.max_seqs = 3;
  for (const bool cache : {true, false}) {
    options.prefix_cache = cache;
    Engine engine = load(options);
    Request request = greedy("", 30);
    for (int i = 0; i < 100; ++i) request.prompt_ids.push_back(3 + i * 17 % 2000);
    request.sampling = {};
    request.sampling.temperature = 0.9f;
    request.sampling.seed = 5;
    request.top_logprobs = 0;
    const Result one = engine.generate(request);
    const std::uint64_t computed = engine.timing().prefill_tokens;
    request.num_return_sequences = 5;
    std::map<int, Ids> streamed;
    int num_last = 0;
    const Result five = engine.generate(request, [&](const Update& update) {
      Ids& ids = streamed[update.sequence];
      ids.insert(ids.end(), update.token_ids.begin(), update.token_ids.end());
      num_last += update.last ? 1 : 0;
      return true;
    });
    EXPECT_EQ(num_last, 1);
    ASSERT_EQ(five.sequences.size(), 5u);
    EXPECT_EQ(five.output_ids, one.output_ids) << "the first is that of a request for one";
    std::set<Ids> different;
    for (std::size_t i = 0; i < 5; ++i) {
      different.insert(five.sequences[i].output_ids);
      EXPECT_EQ(streamed[static_cast<int>(i)], five.sequences[i].output_ids);
      EXPECT_EQ(five.sequences[i].logprobs.size(), five.sequences[i].output_ids.size());
    }
    EXPECT_EQ(different.size(), 5u);
    // 96 of 100 tokens are full blocks.
    const std::uint64_t first = cache ? 4 : 100;
    EXPECT_EQ(engine.timing().prefill_tokens - computed, first + 4u * 4u);
  }
}

TEST(SeveralAnswers, EndTogetherWhenTheyAreCancelled) {
  Engine engine = load();
  Request request = greedy("Once upon a time", 100);
  request.sampling = {};
  request.sampling.temperature = 1.0f;
  request.ignore_eos = true;
  request.num_return_sequences = 4;
  for (int steps = 0; steps < 5; ++steps) {
    const RequestId id = engine.submit(request);
    for (int i = 0; i < steps; ++i) engine.step();
    engine.cancel(id);
    while (engine.busy()) engine.step();
    const auto result = engine.take_result(id);
    ASSERT_TRUE(result);
    ASSERT_EQ(result->sequences.size(), 4u);
    for (const SequenceResult& answer : result->sequences) {
      EXPECT_EQ(answer.finish_reason, FinishReason::cancelled);
    }
  }
}

TEST(TokenRules, StopIdsBadWordsAndMinimumHold) {
  Engine engine = load();
  const Result free = engine.generate(greedy("The king had three sons.", 40));
  Request request = greedy("The king had three sons.", 40);
  request.stop_token_ids = {free.output_ids[9]};
  request.ignore_eos = true;
  const Result stopped = engine.generate(request);
  EXPECT_EQ(stopped.finish_reason, FinishReason::stop);
  EXPECT_LE(stopped.output_ids.size(), 10u);
  EXPECT_EQ(stopped.output_ids.back(), free.output_ids[9]);
  request.min_new_tokens = 25;
  const Result longer = engine.generate(request);
  EXPECT_GE(longer.output_ids.size(), 25u);

  Request banned = greedy("The king had three sons.", 40);
  banned.bad_words_ids = {{free.output_ids[0]}, {free.output_ids[1], free.output_ids[2]}};
  const Result clean = engine.generate(banned);
  EXPECT_EQ(std::ranges::count(clean.output_ids, free.output_ids[0]), 0);
}

}  // namespace
}  // namespace quern
