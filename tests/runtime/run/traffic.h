#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "runtime/engine_access.h"
#include "tests/runtime/cpu_engine.h"

namespace quern::testing {

inline std::string traffic_model() { return demo_model("tale-gpt2").string(); }

/// Requests that end in every way, and what each gives alone.
struct Requests {
  std::vector<Request> requests;
  std::vector<Result> expected;
};

/// Random arrivals and cancellations on one engine.
class Traffic {
 public:
  using Impl = EngineAccess::Impl;
  using Ids = std::vector<std::int32_t>;
  Traffic(Impl& engine, const Requests& requests, std::uint32_t seed)
      : engine_(engine), all_(requests), random_(seed) {}

  void run() {
    for (int calls = 0; submitted_ < all_.requests.size() || engine_.busy(); ++calls) {
      ASSERT_LT(calls, 20000) << "a request starves";
      const unsigned what = below(16);
      if (what < burst_ && submitted_ < all_.requests.size()) submit();
      if (what == 15) cancel();
      if (engine_.busy()) step();
      if (below(32) == 0) burst_ = below(12);
    }
    EXPECT_EQ(results_.size(), all_.requests.size());
  }

 private:
  unsigned below(unsigned bound) { return static_cast<unsigned>(random_()) % bound; }
  void submit() {
    const RequestId id = engine_.submit(all_.requests[submitted_]);
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
    const Result& expected = all_.expected[index];
    EXPECT_EQ(streamed_[id], result->output_ids);
    const auto was_cancelled = [](const auto& answer) {
      return answer.finish_reason == FinishReason::cancelled;
    };
    if (was_cancelled(*result) || std::ranges::any_of(result->sequences, was_cancelled)) {
      EXPECT_NE(std::find(cancelled_.begin(), cancelled_.end(), id), cancelled_.end());
      if (all_.requests[index].beam_search.num_beams > 1) return;
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
  const Requests& all_;
  std::mt19937 random_;
  unsigned burst_ = 8;
  std::size_t submitted_ = 0;
  std::map<RequestId, std::size_t> index_of_;
  std::map<RequestId, Ids> streamed_;
  std::vector<RequestId> live_, cancelled_;
  std::set<RequestId> results_;
};

}  // namespace quern::testing
