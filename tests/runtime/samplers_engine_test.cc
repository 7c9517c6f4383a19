// The rarer samplers in an engine: in any batch and loop the same tokens, and what they are for.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "runtime/request/dry_breakers.h"
#include "tests/runtime/cpu_engine.h"
#include "tests/support/expect_error.h"

namespace quern {
namespace {

using Ids = std::vector<std::int32_t>;

/// Requests that use each of them, and all together.
std::vector<Request> sampled_requests() {
  std::vector<Request> requests = sixteen_requests(true);
  requests.resize(10);
  for (Request& request : requests) {
    request.sampling.top_p.reset();
    request.ignore_eos = true;
  }
  requests[0].sampling.top_n_sigma = 1.0f;
  requests[1].sampling.typical_p = 0.4f;
  requests[2].sampling.epsilon_cutoff = 0.02f;
  requests[3].sampling.eta_cutoff = 0.05f;
  requests[4].sampling.xtc_probability = 0.5f;
  requests[7].sampling.mirostat_tau = 2.0f;
  requests[7].sampling.mirostat_eta = 0.3f;
  // Repetitions that go on without DRY.
  for (int i = 0; i < 40; ++i) requests[5].prompt_ids.push_back(300 + i % 4);
  requests[5].sampling.temperature = 0.2f;
  requests[5].sampling.dry_multiplier = 5.0f;
  requests[5].sampling.dry_allowed_length = 1;
  SamplingParams& all = requests[6].sampling;
  all.top_n_sigma = 2.0f;
  all.top_k = 100;
  all.top_p = 0.95f;
  all.min_p = 0.001f;
  all.typical_p = 0.9f;
  all.epsilon_cutoff = 1e-4f;
  all.eta_cutoff = 1e-3f;
  all.xtc_probability = 0.3f;
  all.dry_multiplier = 1.0f;
  return requests;
}

TEST(Samplers, TheSameTokensInAnyBatchAndLoop) {
  const auto requests = sampled_requests();
  Engine single = load();
  std::vector<Ids> expected;
  for (const Request& request : requests) {
    expected.push_back(single.generate(request).output_ids);
    Request plain = request;
    plain.sampling = {};
    plain.sampling.temperature = request.sampling.temperature;
    plain.sampling.seed = request.sampling.seed;
    const bool is_plain = expected.size() > 8;
    EXPECT_EQ(single.generate(plain).output_ids == expected.back(), is_plain) << expected.size();
  }
  for (const int interval : {1, 7}) {
    EngineOptions options;
    options.max_seqs = 4;
    options.max_tokens_per_step = 64;
    options.check_interval = interval;
    const auto results = load(options).generate(requests);
    for (std::size_t i = 0; i < results.size(); ++i) {
      EXPECT_EQ(results[i].output_ids, expected[i]) << i;
    }
  }
}

TEST(Samplers, AnswersHaveAMirostatOfTheirOwn) {
  EngineOptions options;
  options.max_seqs = 2;
  Engine engine = load(options);
  Request request;
  request.prompt = "Once upon a time";
  request.max_new_tokens = 30;
  request.ignore_eos = true;
  request.sampling.mirostat_tau = 2.5f;
  request.sampling.seed = 5;
  const Ids alone = engine.generate(request).output_ids;
  request.num_return_sequences = 3;  // they take turns in two rows
  const Result result = engine.generate(request);
  EXPECT_EQ(result.sequences[0].output_ids, alone);
  request.num_return_sequences = 3;
  Engine roomy = load();
  const Result together = roomy.generate(request);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(result.sequences[i].output_ids, together.sequences[i].output_ids) << i;
  }
}

/// The longest repetition at the end of any prefix: of how many tokens the last ones stand earlier.
std::size_t longest_repetition(const Ids& ids) {
  std::size_t longest = 0;
  for (std::size_t end = 1; end <= ids.size(); ++end) {
    for (std::size_t other = 1; other < end; ++other) {
      std::size_t length = 0;
      while (length < other && ids[other - 1 - length] == ids[end - 1 - length]) ++length;
      longest = std::max(longest, length);
    }
  }
  return longest;
}

TEST(Samplers, DryEndsRepetitions) {
  Engine engine = load();
  Request request = greedy("", 60);
  for (int i = 0; i < 40; ++i) request.prompt_ids.push_back(300 + i % 4);
  request.ignore_eos = true;
  request.sampling.no_repeat_ngram_size = 0;
  const auto repeats = [&] { return longest_repetition(engine.generate(request).output_ids); };
  const std::size_t without = repeats();
  request.sampling.dry_multiplier = 5.0f;
  request.sampling.dry_allowed_length = 1;
  request.sampling.dry_sequence_breakers.emplace();
  EXPECT_LT(repeats(), without);
  EXPECT_LE(repeats(), 3u);
}

TEST(Samplers, DryBreakersAreTheLastTokensOfTheTexts) {
  const Engine engine = load();
  EncodeOptions encode;
  encode.add_bos = false;
  std::set<std::int32_t> expected;
  for (const char* text : {"a\n", "a:", "a\"", "a*"}) {
    expected.insert(engine.tokenizer().encode(text, encode).back());
  }
  SamplingParams params;
  SamplingRow row;
  add_dry_breakers(params, engine.tokenizer(), row);
  EXPECT_EQ(row.num_dry_breakers, 0) << "DRY is off";
  row.dry_multiplier = 1.0f;
  add_dry_breakers(params, engine.tokenizer(), row);
  const std::set<std::int32_t> ids(row.dry_breakers, row.dry_breakers + row.num_dry_breakers);
  EXPECT_EQ(ids, expected);
  EXPECT_EQ(row.num_dry_breakers, std::ssize(expected)) << "each once, and not twice in a row";

  params.dry_sequence_breakers = {"."};
  SamplingRow other;
  other.dry_multiplier = 1.0f;
  add_dry_breakers(params, engine.tokenizer(), other);
  EXPECT_EQ(other.num_dry_breakers, 1);
  EXPECT_EQ(other.dry_breakers[0], engine.tokenizer().encode("a.", encode).back());
}

TEST(Samplers, BadBreakersAreRefused) {
  Engine engine = load();
  Request request = greedy("Once", 1);
  request.sampling.dry_multiplier = 1.0f;
  request.sampling.dry_sequence_breakers = {""};
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"dry_sequence_breakers", "empty"}),
                     engine.submit(request));
  request.sampling.dry_sequence_breakers = {"\xff"};
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"dry_sequence_breakers", "UTF-8"}),
                     engine.submit(request));
}

TEST(Samplers, ResolveFillsThemIn) {
  const Engine engine = load();
  Request request;
  request.sampling.typical_p = 0.5f;
  const SamplingParams resolved = engine.resolve(request).sampling;
  EXPECT_EQ(resolved.typical_p, 0.5f);
  EXPECT_EQ(resolved.top_n_sigma, 0.0f);
  EXPECT_EQ(resolved.xtc_threshold, 0.1f);
  EXPECT_EQ(resolved.dry_base, 1.75f);
  EXPECT_EQ(resolved.dry_sequence_breakers->size(), 4u);
}

}  // namespace
}  // namespace quern
