#include "runtime/schedule/scheduler.h"

#include <gtest/gtest.h>

#include "tests/runtime/fake_tokenizer.h"

namespace quern {
namespace {

class SchedulerTest : public ::testing::Test {
 protected:
  static Limits limits(int max_seqs, int max_tokens_per_step, int num_blocks) {
    Limits limits;
    limits.max_seqs = max_seqs;
    limits.max_seq_len = 64;
    limits.max_tokens_per_step = max_tokens_per_step;
    limits.block_size = 8;
    limits.num_blocks = num_blocks;
    return limits;
  }
  std::unique_ptr<Sequence> sequence(int prompt_len, int max_tokens) {
    Result result;
    result.id = ++last_id_;
    SequenceOutput output(tokenizer_, {}, result, {}, max_tokens, FinishReason::length);
    std::vector<std::int32_t> ids(static_cast<std::size_t>(prompt_len), 'a');
    return std::make_unique<Sequence>(last_id_, std::move(ids), SamplingRow{}, max_tokens,
                                      std::move(output));
  }

  testing::ByteTokenizer tokenizer_;
  RequestId last_id_ = 0;
};

TEST_F(SchedulerTest, AdmitsInOrderWhileRowsAndBlocksLast) {
  Scheduler scheduler(limits(3, 16, 5));
  scheduler.add(sequence(8, 8));   // two blocks
  scheduler.add(sequence(20, 4));  // three
  scheduler.add(sequence(1, 1));   // one: must wait, although a row is free
  const auto admitted = scheduler.admit();
  ASSERT_EQ(admitted.size(), 2u);
  EXPECT_EQ(admitted[0]->blocks.size(), 2u);
  EXPECT_EQ(admitted[1]->blocks.size(), 3u);
  EXPECT_NE(admitted[0]->state_row, admitted[1]->state_row);
  EXPECT_TRUE(scheduler.admit().empty());

  admitted[0]->output.finish(FinishReason::cancelled);
  EXPECT_EQ(scheduler.take_finished().size(), 1u);
  EXPECT_EQ(scheduler.admit().size(), 1u);
}

TEST_F(SchedulerTest, ALongRequestIsNotOvertaken) {
  Scheduler scheduler(limits(2, 16, 8));
  scheduler.add(sequence(8, 8));
  scheduler.add(sequence(50, 10));  // needs 8 blocks: waits for the first to end
  scheduler.add(sequence(1, 1));
  EXPECT_EQ(scheduler.admit().size(), 1u);
  EXPECT_EQ(scheduler.waiting().size(), 2u);
}

TEST_F(SchedulerTest, PutsDecodesFirstAndCutsPromptsIntoChunks) {
  Scheduler scheduler(limits(3, 10, 24));
  scheduler.add(sequence(4, 5));
  scheduler.admit();
  ScheduledStep step = scheduler.schedule();
  ASSERT_EQ(step.runs.size(), 1u);
  EXPECT_FALSE(step.runs[0].decode);
  EXPECT_TRUE(step.runs[0].samples);
  scheduler.launched(step, 1);

  scheduler.add(sequence(12, 5));
  scheduler.add(sequence(3, 5));
  scheduler.admit();
  step = scheduler.schedule();
  ASSERT_EQ(step.runs.size(), 3u);
  EXPECT_EQ(step.num_decode, 1);
  EXPECT_EQ(step.runs[1].q_len, 6);
  EXPECT_FALSE(step.runs[1].samples);
  EXPECT_EQ(step.runs[2].q_len, 3) << "the short one is not held up";
  EXPECT_TRUE(step.runs[2].samples);
  scheduler.launched(step, 1);

  step = scheduler.schedule();
  ASSERT_EQ(step.runs.size(), 3u);
  EXPECT_EQ(step.num_decode, 2);
  EXPECT_EQ(step.runs[2].begin, 6);
  EXPECT_EQ(step.runs[2].q_len, 6);
  EXPECT_TRUE(step.runs[2].samples);
  EXPECT_EQ(step.num_prefill_tokens, 6);
}

TEST_F(SchedulerTest, KeepsMixedStepsSmallWhileFewPromptsRun) {
  Limits small = limits(8, 64, 64);
  small.max_mixed_tokens = 16;
  Scheduler scheduler(small);
  for (int i = 0; i < 4; ++i) scheduler.add(sequence(10, 5));
  scheduler.admit();
  ScheduledStep step = scheduler.schedule();
  EXPECT_EQ(step.num_prefill_tokens, 40) << "nobody decodes";
  scheduler.launched(step, 1);

  scheduler.add(sequence(30, 5));
  scheduler.admit();
  step = scheduler.schedule();
  EXPECT_EQ(step.num_decode, 4);
  EXPECT_EQ(step.num_prefill_tokens, 12) << "one prompt beside four that decode";
  scheduler.add(sequence(30, 5));
  scheduler.admit();
  EXPECT_EQ(scheduler.schedule().num_prefill_tokens, 60) << "two prompts are many";
}

TEST_F(SchedulerTest, RowsAtTheirLimitGoToWhoWaits) {
  Scheduler scheduler(limits(1, 8, 2));
  scheduler.add(sequence(2, 1));
  scheduler.admit(0);
  Sequence& first = *scheduler.running().front();
  scheduler.launched(scheduler.schedule(), 1);
  scheduler.release_exhausted(1);
  EXPECT_TRUE(first.holds_row()) << "nobody waits";

  scheduler.add(sequence(2, 3));
  EXPECT_FALSE(scheduler.can_admit());
  scheduler.release_exhausted(1);
  const auto admitted = scheduler.admit(1);
  ASSERT_EQ(admitted.size(), 1u);
  EXPECT_EQ(admitted[0]->state_row, first.state_row);
  EXPECT_TRUE(first.owns_token(0) && !first.owns_token(1));
  EXPECT_TRUE(!admitted[0]->owns_token(0) && admitted[0]->owns_token(1));
  first.output.finish(FinishReason::length);
  EXPECT_EQ(scheduler.take_finished().size(), 1u);
  EXPECT_FALSE(scheduler.can_admit()) << "its row is the other's";
  EXPECT_EQ(scheduler.blocks().num_free(), 1);
}

TEST_F(SchedulerTest, LaunchesNothingBeyondALimit) {
  Scheduler scheduler(limits(1, 8, 8));
  scheduler.add(sequence(2, 3));
  scheduler.admit();
  scheduler.launched(scheduler.schedule(), 1);
  scheduler.launched(scheduler.schedule(), 2);
  EXPECT_TRUE(scheduler.running().front()->exhausted());
  EXPECT_TRUE(scheduler.schedule().runs.empty());
  EXPECT_FALSE(scheduler.idle());
}

TEST_F(SchedulerTest, HandsOutFinishedRequestsThatStillWait) {
  Scheduler scheduler(limits(1, 8, 8));
  scheduler.add(sequence(2, 3));
  scheduler.add(sequence(2, 3));
  scheduler.admit();
  scheduler.waiting().front()->output.finish(FinishReason::cancelled);
  const auto finished = scheduler.take_finished();
  ASSERT_EQ(finished.size(), 1u);
  EXPECT_EQ(finished[0]->id, 2u);
  EXPECT_EQ(scheduler.running().size(), 1u);
}

/// Blocks of 8 tokens that are appended as sequences decode.
class GrowingScheduler : public SchedulerTest {
 protected:
  /// Launches a step, whose tokens are known at once.
  ScheduledStep step(Scheduler& scheduler) {
    scheduler.admit(steps_);
    ScheduledStep step = scheduler.schedule();
    while (scheduler.grow(step, 1) == 0) {
      scheduler.preempt();
      step = scheduler.schedule();
    }
    scheduler.launched(step, 1);
    ++steps_;
    for (const ScheduledRun& run : step.runs) {
      if (!run.samples) continue;
      TokenLogprobs token;
      token.id = 'b';
      run.sequence->accept(token);
    }
    scheduler.take_finished();
    return step;
  }
  std::int64_t steps_ = 0;
};

TEST_F(GrowingScheduler, AdmitsWithTheBlocksOfThePromptAndHeadroom) {
  Scheduler scheduler(limits(8, 64, 8), KvReservation::grow);
  scheduler.add(sequence(8, 40));
  scheduler.add(sequence(7, 40));
  scheduler.add(sequence(7, 1));
  scheduler.add(sequence(7, 40));
  scheduler.add(sequence(7, 40));
  const auto admitted = scheduler.admit();
  ASSERT_EQ(admitted.size(), 4u) << "8 blocks: 2 + 1 + 1 + 1, and one more for each that grows";
  EXPECT_EQ(admitted[0]->blocks.size(), 2u);
  EXPECT_EQ(admitted[1]->blocks.size(), 1u);
  EXPECT_EQ(admitted[2]->blocks.size(), 1u);
  EXPECT_EQ(scheduler.blocks().num_free(), 3);
}

TEST_F(GrowingScheduler, TablesGrowWithTheTokens) {
  Scheduler scheduler(limits(2, 64, 8), KvReservation::grow);
  scheduler.add(sequence(7, 12));
  step(scheduler);
  const Sequence& running = *scheduler.running().front();
  EXPECT_EQ(running.blocks.size(), 1u);
  step(scheduler);
  EXPECT_EQ(running.blocks.size(), 1u) << "its eighth token";
  step(scheduler);
  EXPECT_EQ(running.blocks.size(), 2u);
  ASSERT_EQ(scheduler.take_grown().size(), 1u);
  EXPECT_EQ(scheduler.grow(scheduler.schedule(), 7), 7);
  EXPECT_EQ(running.blocks.size(), 2u);
  EXPECT_EQ(scheduler.grow(scheduler.schedule(), 100), 100) << "it ends before";
  EXPECT_EQ(running.blocks.size(), 3u);
  const auto grown = scheduler.take_grown();
  ASSERT_EQ(grown.size(), 1u);
  EXPECT_EQ(grown[0].first, &running);
  EXPECT_EQ(grown[0].second, 2u);
}

TEST_F(GrowingScheduler, BlocksGivenAheadAreTakenBackForWhoWaits) {
  Scheduler scheduler(limits(2, 64, 8), KvReservation::grow);
  scheduler.add(sequence(7, 57));
  step(scheduler);
  EXPECT_EQ(scheduler.grow(scheduler.schedule(), 64), 64);
  EXPECT_EQ(scheduler.blocks().num_free(), 0);
  scheduler.add(sequence(7, 2));
  EXPECT_TRUE(scheduler.can_admit(true)) << "which ends a device loop";
  EXPECT_TRUE(scheduler.can_admit());
  EXPECT_EQ(scheduler.admit().size(), 1u);
  EXPECT_EQ(scheduler.running().front()->blocks.size(), 1u);
}

TEST_F(GrowingScheduler, TheLastToComeIsPreemptedAndGoesOn) {
  Scheduler scheduler(limits(2, 64, 8), KvReservation::grow);
  scheduler.add(sequence(7, 57));
  step(scheduler);
  scheduler.add(sequence(20, 30));
  const auto is_decoding = [&] {
    return scheduler.running().size() == 2 && scheduler.running()[1]->decoding();
  };
  while (!is_decoding()) step(scheduler);
  const Sequence& second = *scheduler.running()[1];
  while (scheduler.num_preemptions() == 0) step(scheduler);
  ASSERT_EQ(scheduler.waiting().size(), 1u);
  EXPECT_EQ(scheduler.waiting().front().get(), &second);
  const int num_generated = second.num_generated();
  EXPECT_GT(num_generated, 1);
  EXPECT_TRUE(second.blocks.empty());
  EXPECT_EQ(second.prefill_len(), 20 + num_generated);
  while (scheduler.running().empty() || scheduler.running().front().get() != &second) {
    step(scheduler);
  }
  EXPECT_EQ(second.num_generated(), num_generated + 1) << "one step, and it has the next token";
  while (!scheduler.idle()) step(scheduler);
  EXPECT_EQ(scheduler.blocks().num_free(), 8);
  EXPECT_EQ(scheduler.num_free_rows(), 2u);
}

}  // namespace
}  // namespace quern
