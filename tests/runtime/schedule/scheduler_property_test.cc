// Random requests arrive, run, end and are cancelled: no blocks are lost, and no request starves.
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <map>
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
    limits.max_mixed_tokens = 1 + below(limits.max_tokens_per_step);
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
    scheduler_.release_exhausted(num_launched_);
    const bool could = scheduler_.can_admit();
    const auto admitted = scheduler_.admit(num_launched_);
    ASSERT_EQ(could, !admitted.empty());
    for (const Sequence* sequence : admitted) {
      ASSERT_GT(sequence->id, last_admitted_) << "overtaken";
      last_admitted_ = sequence->id;
    }
    const ScheduledStep step = scheduler_.schedule();
    ASSERT_LE(step.num_decode + step.num_prefill_tokens, limits_.max_tokens_per_step);
    scheduler_.launched(step, 1);
    if (step.samples()) {
      Columns& columns = unread_.emplace_back();
      for (const ScheduledRun& run : step.runs) {
        ASSERT_TRUE(run.sequence->holds_row());
        if (run.samples) columns[run.sequence->state_row] = run.sequence->id;
      }
      ++num_launched_;
    }
    // Like a host that runs ahead: results come some steps late, all where nothing can be launched.
    const auto behind = step.runs.empty() ? 0 : below(4);
    while (std::ssize(unread_) > behind) read_step();
    take_finished();
  }

  /// Hands the oldest step's tokens to the sequences that own their columns: those that it was
  /// launched with, as far as they are still there.
  void read_step() {
    const std::int64_t step = num_launched_ - std::ssize(unread_);
    const Columns columns = std::move(unread_.front());
    unread_.pop_front();
    for (const auto& sequence : scheduler_.running()) {
      const auto found = columns.find(sequence->state_row);
      if (found == columns.end() || !sequence->owns_token(step)) continue;
      ASSERT_EQ(found->second, sequence->id) << "another's token";
      take_token(*sequence);
    }
  }

  void take_token(Sequence& sequence) {
    if (sequence.output.finished()) return;
    TokenLogprobs token;
    token.id = 'b';
    const std::size_t before = sequence.token_ids.size();
    sequence.accept(token);
    ASSERT_EQ(sequence.token_ids.size(), before + 1);
    ASSERT_EQ(sequence.token_ids.back(), 'b');
    if (below(12) == 0) sequence.output.finish(FinishReason::stop);
  }

  void take_finished() { num_finished_ += scheduler_.take_finished().size(); }

  void check() {
    std::set<std::int32_t> held;
    std::set<int> rows;
    for (const auto& sequence : scheduler_.running()) {
      if (!sequence->holds_row()) {
        ASSERT_TRUE(sequence->blocks.empty() && sequence->exhausted());
        continue;
      }
      ASSERT_GE(std::ssize(sequence->blocks) * limits_.block_size,
                sequence->prompt_len() + sequence->max_tokens - 1);
      for (const std::int32_t block : sequence->blocks) {
        ASSERT_TRUE(held.insert(block).second) << "block " << block << " is held twice";
        ASSERT_EQ(scheduler_.blocks().ref_count(block), 1);
      }
      ASSERT_TRUE(rows.insert(sequence->state_row).second);
      ASSERT_TRUE(sequence->state_row >= 0 && sequence->state_row < limits_.max_seqs);
    }
    ASSERT_EQ(std::ssize(held) + scheduler_.blocks().num_free(), limits_.num_blocks);
  }

  using Columns = std::map<int, RequestId>;  ///< of the output ring, by state row

  std::mt19937 random_;
  testing::ByteTokenizer tokenizer_;
  Limits limits_;
  Scheduler scheduler_;
  RequestId num_submitted_ = 0;
  RequestId num_finished_ = 0;
  RequestId last_admitted_ = 0;
  std::deque<Columns> unread_;     ///< of each step that was launched and not read
  std::int64_t num_launched_ = 0;  ///< steps that sampled
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
