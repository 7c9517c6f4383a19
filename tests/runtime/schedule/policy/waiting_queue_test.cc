#include "runtime/schedule/policy/waiting_queue.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "tests/runtime/fake_tokenizer.h"

namespace quern {
namespace {

class WaitingQueueTest : public ::testing::Test {
 protected:
  std::unique_ptr<Sequence> sequence(int priority) {
    Result result;
    result.id = ++last_id_;
    SequenceOutput output(tokenizer_, {}, result, {}, 10, FinishReason::length);
    auto made = std::make_unique<Sequence>(last_id_, std::vector<std::int32_t>{'a'}, SamplingRow{},
                                           10, std::move(output));
    made->priority = priority;
    return made;
  }
  RequestId pop() { return queue_.pop()->id; }

  testing::ByteTokenizer tokenizer_;
  WaitingQueue queue_;
  RequestId last_id_ = 0;
};

TEST_F(WaitingQueueTest, LowerValuesGoFirstAndOfEqualOnesTheEarlier) {
  EXPECT_EQ(queue_.next(), nullptr);
  for (const int priority : {3, 0, 3, -5, 0}) queue_.add(sequence(priority));
  EXPECT_EQ(queue_.next()->id, 4u);
  EXPECT_EQ(pop(), 4u);
  EXPECT_EQ(pop(), 2u);
  EXPECT_EQ(pop(), 5u);
  EXPECT_EQ(queue_.next()->id, 1u);
  queue_.add(sequence(2));
  EXPECT_EQ(queue_.next()->id, 6u) << "a better one came";
  EXPECT_EQ(pop(), 6u);
  EXPECT_EQ(pop(), 1u);
  EXPECT_EQ(pop(), 3u);
  EXPECT_TRUE(queue_.empty());
}

TEST_F(WaitingQueueTest, APreemptedSequenceKeepsItsPlace) {
  for (int i = 0; i < 4; ++i) queue_.add(sequence(0));
  auto first = queue_.pop();
  auto second = queue_.pop();
  queue_.add(std::move(second));
  EXPECT_EQ(queue_.next()->id, 2u);
  queue_.add(std::move(first));
  EXPECT_EQ(pop(), 1u);
  EXPECT_EQ(pop(), 2u);
  EXPECT_EQ(pop(), 3u);
}

TEST_F(WaitingQueueTest, TakesOutThoseThatAreWanted) {
  for (int i = 0; i < 6; ++i) queue_.add(sequence(i % 2));
  const auto taken = queue_.take_if([](const Sequence& s) { return s.priority == 0; });
  ASSERT_EQ(taken.size(), 3u);
  EXPECT_EQ(taken[0]->id, 1u);
  EXPECT_EQ(taken[2]->id, 5u);
  EXPECT_EQ(queue_.sequences().size(), 3u);
  EXPECT_EQ(pop(), 2u);
}

TEST_F(WaitingQueueTest, AnyPriorityHasItsTurnInTheEnd) {
  auto low = sequence(1000000);
  const RequestId low_id = low->id;
  queue_.add(std::move(low));
  for (int turn = 1;; ++turn) {
    queue_.add(sequence(0));
    auto next = queue_.pop();
    ASSERT_LE(turn, WaitingQueue::kAgingInterval) << "it starves";
    if (next->id != low_id) continue;
    EXPECT_EQ(turn, WaitingQueue::kAgingInterval);
    EXPECT_TRUE(goes_before(*next, *sequence(-7))) << "and is not preempted for others";
    return;
  }
}

/// More arrive than leave, all of better priority than most that wait.
TEST_F(WaitingQueueTest, WaitsAreBounded) {
  std::mt19937 random(3);
  std::map<RequestId, std::int64_t> latest_turn;
  std::int64_t num_aged = 0;
  for (std::int64_t turn = 0; turn < 200000; ++turn) {
    for (auto i = random() % 3; i > 0 && queue_.sequences().size() < 200; --i) {
      auto arrival = sequence(static_cast<int>(random() % 5) - 2);
      const auto num_older = std::ssize(queue_.sequences());
      latest_turn[arrival->id] = turn + (num_older + 1) * WaitingQueue::kAgingInterval;
      queue_.add(std::move(arrival));
    }
    if (queue_.empty()) continue;
    const auto next = queue_.pop();
    ASSERT_LE(turn, latest_turn.at(next->id));
    latest_turn.erase(next->id);
    num_aged += next->is_aged ? 1 : 0;
  }
  EXPECT_GT(num_aged, 1000);
}

}  // namespace
}  // namespace quern
