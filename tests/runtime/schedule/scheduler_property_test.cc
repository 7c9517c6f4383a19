// Random requests arrive, run, end and are cancelled: no blocks are lost, and no request starves.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>

#include "runtime/schedule/scheduler.h"
#include "tests/runtime/fake_tokenizer.h"

namespace quern {
namespace {

class RandomTraffic {
 public:
  explicit RandomTraffic(std::uint32_t seed)
      : random_(seed), limits_(make_limits()), scheduler_(limits_) {}

  void run(int num_calls) {
    for (int i = 0; i < num_calls; ++i) {
      call();
      check();
      if (::testing::Test::HasFatalFailure()) return;
    }
    // No more requests arrive: all waiting ones must run, and all blocks must be freed.
    for (int step = 0; !scheduler_.idle(); ++step) {
      ASSERT_LT(step, 100000) << "a request starves";
      run_step();
      check();
      if (::testing::Test::HasFatalFailure()) return;
    }
    EXPECT_EQ(scheduler_.blocks().num_free(), limits_.num_blocks);
    EXPECT_EQ(num_submitted_, num_finished_);
  }

 private:
  int below(int bound) { return static_cast<int>(random_() % static_cast<unsigned>(bound)); }

  Limits make_limits() {
    Limits limits;
    limits.max_seqs = 1 + below(6);
    limits.block_size = 1 + below(8);
    limits.max_seq_len = 8 + below(40);
    limits.max_tokens_per_step = limits.max_seqs + below(16);
    limits.num_blocks = limits.max_blocks_per_seq() + below(3 * limits.max_blocks_per_seq());
    return limits;
  }

  void call() {
    const int what = below(8);
    if (what <= 1) {
      submit();
    } else if (what == 2) {
      cancel();
    } else {
      run_step();
    }
  }

  void submit() {
    if (scheduler_.waiting().size() > 20) return;
    const int prompt_len = 1 + below(limits_.max_seq_len);
    const int max_tokens = below(limits_.max_seq_len - prompt_len + 1);
    Result result;
    result.id = ++num_submitted_;
    SequenceOutput output(tokenizer_, {}, result, {}, max_tokens, FinishReason::length);
    scheduler_.add(std::make_unique<Sequence>(
        result.id, std::vector<std::int32_t>(static_cast<std::size_t>(prompt_len), 'a'),
        SamplingRow{}, max_tokens, std::move(output)));
  }

  void cancel() {
    const auto num_running = std::ssize(scheduler_.running());
    const auto num_live = num_running + std::ssize(scheduler_.waiting());
    if (num_live == 0) return;
    const auto index = static_cast<std::size_t>(below(static_cast<int>(num_live)));
    const auto running = static_cast<std::size_t>(num_running);
    Sequence& sequence =
        index < running ? *scheduler_.running()[index] : *scheduler_.waiting()[index - running];
    sequence.output.finish(FinishReason::cancelled);
    take_finished();
  }

  void run_step() {
    const bool could = scheduler_.can_admit();
    const auto admitted = scheduler_.admit();
    ASSERT_EQ(could, !admitted.empty());
    for (const Sequence* sequence : admitted) {
      ASSERT_GT(sequence->id, last_admitted_) << "overtaken";
      last_admitted_ = sequence->id;
    }
    const ScheduledStep step = scheduler_.schedule();
    scheduler_.launched(step, 1);
    for (const ScheduledRun& run : step.runs) {
      if (!run.samples) continue;
      TokenLogprobs token;
      token.id = 'b';
      const std::size_t before = run.sequence->token_ids.size();
      run.sequence->accept(token);
      ASSERT_EQ(run.sequence->token_ids.size(), before + 1);
      ASSERT_EQ(run.sequence->token_ids.back(), 'b');
      if (below(12) == 0) run.sequence->output.finish(FinishReason::stop);
    }
    take_finished();
  }

  void take_finished() { num_finished_ += scheduler_.take_finished().size(); }

  void check() {
    std::set<std::int32_t> held;
    std::set<int> rows;
    for (const auto& sequence : scheduler_.running()) {
      ASSERT_GE(std::ssize(sequence->blocks) * limits_.block_size,
                sequence->prompt_len() + sequence->max_tokens);
      for (const std::int32_t block : sequence->blocks) {
        ASSERT_TRUE(held.insert(block).second) << "block " << block << " is held twice";
        ASSERT_EQ(scheduler_.blocks().ref_count(block), 1);
      }
      ASSERT_TRUE(rows.insert(sequence->state_row).second);
      ASSERT_TRUE(sequence->state_row >= 0 && sequence->state_row < limits_.max_seqs);
    }
    ASSERT_EQ(std::ssize(held) + scheduler_.blocks().num_free(), limits_.num_blocks);
  }

  std::mt19937 random_;
  testing::ByteTokenizer tokenizer_;
  Limits limits_;
  Scheduler scheduler_;
  RequestId num_submitted_ = 0;
  RequestId num_finished_ = 0;
  RequestId last_admitted_ = 0;
};

TEST(SchedulerProperties, ConservesBlocksAndStarvesNobody) {
  for (std::uint32_t seed = 1; seed <= 100; ++seed) {
    SCOPED_TRACE(seed);
    RandomTraffic(seed).run(1500);
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace quern
