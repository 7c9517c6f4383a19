#include "runtime/schedule/policy/prefill_budget.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>

namespace quern {
namespace {

using Shares = std::vector<int>;

TEST(PrefillBudget, TheOldestPromptGetsHalfAndTheShortestTheOther) {
  EXPECT_EQ(share_prefill({}, 10), Shares{});
  EXPECT_EQ(share_prefill(Shares{100}, 10), Shares{10});
  EXPECT_EQ(share_prefill(Shares{4}, 10), Shares{4});
  EXPECT_EQ(share_prefill(Shares{100, 90, 80}, 10), (Shares{5, 0, 5}));
  EXPECT_EQ(share_prefill(Shares{100, 3, 80}, 11), (Shares{6, 3, 2}));
  EXPECT_EQ(share_prefill(Shares{2, 3, 80}, 11), (Shares{2, 3, 6}));
  EXPECT_EQ(share_prefill(Shares{100, 3, 3}, 1), (Shares{1, 0, 0}));
  EXPECT_EQ(share_prefill(Shares{100, 3, 3}, 0), (Shares{0, 0, 0}));
}

TEST(PrefillBudget, NothingIsLeftThatAPromptCouldTake) {
  std::mt19937 random(5);
  for (int round = 0; round < 100000; ++round) {
    Shares remaining(1 + random() % 12);
    for (int& count : remaining) count = 1 + static_cast<int>(random() % 60);
    const int room = static_cast<int>(random() % 200);
    const Shares shares = share_prefill(remaining, room);
    int sum = 0;
    for (std::size_t i = 0; i < remaining.size(); ++i) {
      ASSERT_GE(shares[i], 0);
      ASSERT_LE(shares[i], remaining[i]);
      sum += shares[i];
    }
    ASSERT_EQ(sum, std::min(room, std::accumulate(remaining.begin(), remaining.end(), 0)));
    ASSERT_GE(shares[0], std::min(remaining[0], room - room / 2));
  }
}

TEST(PrefillBudget, StepsStaySmallWhileManyDecodeBesideFewPrompts) {
  Limits limits;
  limits.max_tokens_per_step = 512;
  limits.max_mixed_tokens = 256;
  EXPECT_EQ(step_token_budget(limits, 0, 1), 512) << "nobody waits for a token";
  EXPECT_EQ(step_token_budget(limits, 8, 2), 256);
  EXPECT_EQ(step_token_budget(limits, 7, 2), 512);
  EXPECT_EQ(step_token_budget(limits, 128, 2), 512) << "too little would be left for prompts";
  limits.max_tokens_per_step = 128;
  EXPECT_EQ(step_token_budget(limits, 8, 2), 128);
}

}  // namespace
}  // namespace quern
