#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <map>
#include <random>
#include <vector>

#include "quern/engine.h"

namespace quern::testing {

/// Requests that differ in length, sampling and what they ask for, and what each gives alone.
struct KnownRequests {
  std::vector<Request> requests;
  std::vector<Result> expected;
};

/// Numbers below a bound.
class Dice {
 public:
  explicit Dice(std::uint32_t seed) : random_(seed) {}
  int below(int bound) { return static_cast<int>(random_() % static_cast<std::uint32_t>(bound)); }
  bool one_in(int count) { return below(count) == 0; }

 private:
  std::mt19937 random_;
};

inline Request random_request(Dice& dice, const std::vector<std::int32_t>& ids, int max_prompt_len,
                              int max_new_tokens) {
  Request request;
  const auto begin = dice.one_in(3) ? 0 : dice.below(static_cast<int>(ids.size()) / 2);
  const int len = 1 + (dice.one_in(4) ? dice.below(max_prompt_len) : dice.below(60));
  request.prompt_ids.assign(ids.begin() + begin, ids.begin() + begin + len);
  request.max_new_tokens = 1 + dice.below(max_new_tokens);
  request.ignore_eos = true;
  request.top_logprobs = 3;
  request.sampling.greedy = dice.one_in(2);
  if (!request.sampling.greedy) {
    request.sampling.temperature = 0.9f;
    request.sampling.seed = 1000u + static_cast<unsigned>(dice.below(1000));
    if (dice.one_in(3)) request.sampling.repetition_penalty = 1.2f;
    if (dice.one_in(3)) request.sampling.top_k = 20;
  }
  if (dice.one_in(8)) request.prompt_logprobs = 2;
  return request;
}

/// Runs `count` requests one after the other on an engine for one sequence. A third of the prompts
/// begins with the prompt and the answer of an earlier request, as a conversation's next turn.
inline KnownRequests known_requests(Engine& alone, int count, int max_prompt_len,
                                    int max_new_tokens, std::uint32_t seed) {
  Dice dice(seed);
  std::vector<std::int32_t> ids(static_cast<std::size_t>(2 * max_prompt_len + 2));
  for (std::int32_t& id : ids) id = 10 + dice.below(1500);
  KnownRequests known;
  for (int i = 0; i < count; ++i) {
    Request request = random_request(dice, ids, max_prompt_len, max_new_tokens);
    if (i > 3 && dice.one_in(3)) {
      const Result& turn = known.expected[static_cast<std::size_t>(dice.below(i))];
      std::vector<std::int32_t> prompt = turn.prompt_ids;
      prompt.insert(prompt.end(), turn.output_ids.begin(), turn.output_ids.end());
      prompt.insert(
          prompt.end(), request.prompt_ids.begin(),
          request.prompt_ids.begin() + std::min<std::ptrdiff_t>(std::ssize(request.prompt_ids), 8));
      if (std::ssize(prompt) <= max_prompt_len) request.prompt_ids = prompt;
    }
    known.expected.push_back(alone.generate(request));
    known.requests.push_back(std::move(request));
  }
  return known;
}

inline bool same_bits(const TokenLogprobs& a, const TokenLogprobs& b) {
  const auto bits = [](float x) { return std::bit_cast<std::uint32_t>(x); };
  return a.id == b.id && bits(a.logprob) == bits(b.logprob) &&
         std::equal(a.top.begin(), a.top.end(), b.top.begin(), b.top.end(),
                    [&](const TokenLogprob& x, const TokenLogprob& y) {
                      return x.id == y.id && bits(x.logprob) == bits(y.logprob);
                    });
}

/// How many of `got` have the bits of `expected`; `got` may be shorter.
inline std::size_t num_equal(const std::vector<TokenLogprobs>& got,
                             const std::vector<TokenLogprobs>& expected) {
  const std::size_t count = std::min(got.size(), expected.size());
  std::size_t equal = 0;
  while (equal < count && same_bits(got[equal], expected[equal])) ++equal;
  return equal;
}

/// `got` may be cancelled: then it is a beginning of `expected`.
inline void expect_same_bits(const Result& got, const Result& expected) {
  EXPECT_EQ(got.error, expected.error);
  if (got.finish_reason != FinishReason::cancelled) {
    EXPECT_EQ(got.output_ids, expected.output_ids);
    EXPECT_EQ(got.prompt_logprobs.size(), expected.prompt_logprobs.size());
  }
  ASSERT_LE(got.logprobs.size(), expected.logprobs.size());
  EXPECT_EQ(num_equal(got.logprobs, expected.logprobs), got.logprobs.size());
  EXPECT_EQ(num_equal(got.prompt_logprobs, expected.prompt_logprobs), got.prompt_logprobs.size());
}

/// Random batches of known requests on one engine: up to `max_requests` that arrive in bursts while
/// others run, and of which some are cancelled.
class RandomMixes {
 public:
  RandomMixes(Engine& engine, const KnownRequests& known, std::uint32_t seed)
      : engine_(engine), known_(known), dice_(seed) {}

  /// Stops at the first mix in which a result has other bits than its request alone.
  void run(int num_mixes, int max_requests) {
    for (int i = 0; i < num_mixes && !::testing::Test::HasFailure(); ++i) {
      SCOPED_TRACE(::testing::Message() << "mix " << i);
      run_mix(1 + dice_.below(dice_.one_in(3) ? max_requests : std::min(max_requests, 8)));
    }
  }

 private:
  void run_mix(int num_requests) {
    std::map<RequestId, std::size_t> running;
    while (num_requests > 0 || engine_.busy()) {
      const int burst = dice_.one_in(3) ? std::min(num_requests, 1 + dice_.below(16)) : 0;
      for (int i = 0; i < burst; ++i, --num_requests) {
        const auto index =
            static_cast<std::size_t>(dice_.below(static_cast<int>(known_.requests.size())));
        running[engine_.submit(known_.requests[index])] = index;
      }
      if (!running.empty() && dice_.one_in(40)) engine_.cancel(running.begin()->first);
      if (!engine_.busy()) continue;
      for (const Update& update : engine_.step()) {
        if (!update.last) continue;
        const auto result = engine_.take_result(update.id);
        ASSERT_TRUE(result);
        const std::size_t index = running.at(update.id);
        SCOPED_TRACE(::testing::Message()
                     << "request " << index << ", " << known_.requests[index].prompt_ids.size()
                     << " tokens, " << result->cached_prompt_tokens << " of them cached");
        expect_same_bits(*result, known_.expected[index]);
        running.erase(update.id);
      }
    }
  }

  Engine& engine_;
  const KnownRequests& known_;
  Dice dice_;
};

}  // namespace quern::testing
