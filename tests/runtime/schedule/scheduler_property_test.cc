// Random requests arrive, run, end, fail, are preempted and cancelled: no blocks are lost, no
// request starves, and no sequence ever finds another's content in its blocks.
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

struct Policies {
  bool prefix_cache = false;
  KvReservation reservation = KvReservation::full;
  bool priorities = false;
};

void PrintTo(const Policies& policies, std::ostream* stream) {
  *stream << (policies.prefix_cache ? "Prefixes" : "NoPrefixes")
          << (policies.reservation == KvReservation::grow ? "Grow" : "Full")
          << (policies.priorities ? "Priorities" : "Fifo");
}

class RandomTraffic {
 public:
  RandomTraffic(std::uint32_t seed, const Policies& policies)
      : random_(seed),
        limits_(make_limits(policies.reservation == KvReservation::grow)),
        scheduler_(limits_, policies.reservation),
        policies_(policies),
        prefix_cache_(policies.prefix_cache),
        slots_(static_cast<std::size_t>(limits_.num_blocks * limits_.block_size)) {}

  void run(int num_calls) {
    for (int i = 0; i < num_calls; ++i) {
      call();
      if (i % 4 == 0) check();
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
    if (!prefix_cache_) {
      EXPECT_EQ(scheduler_.blocks().num_published(), 0);
    }
  }
  std::int64_t num_reused_tokens() const { return num_reused_tokens_; }
  std::uint64_t num_preemptions() const { return scheduler_.num_preemptions(); }
  std::int64_t num_steps() const { return num_steps_; }

 private:
  int below(int bound) { return static_cast<int>(random_() % static_cast<unsigned>(bound)); }

  Limits make_limits(bool grows) {
    Limits limits;
    limits.max_seqs = 1 + below(6) + (grows ? 4 : 0);
    limits.block_size = 1 + below(8);
    limits.max_seq_len = 8 + below(40);
    limits.max_tokens_per_step = limits.max_seqs + below(16);
    limits.max_mixed_tokens = 1 + below(limits.max_tokens_per_step);
    limits.num_blocks =
        limits.max_blocks_per_seq() + below((grows ? 1 : 3) * limits.max_blocks_per_seq());
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
    const bool grows = policies_.reservation == KvReservation::grow;
    const int prompt_len = 1 + below(limits_.max_seq_len / (grows && below(4) > 0 ? 4 : 1));
    const int max_tokens = below(limits_.max_seq_len - prompt_len + 1);
    Result result;
    result.id = ++num_submitted_;
    SequenceOutput output(tokenizer_, {}, result, {}, max_tokens, FinishReason::length);
    std::vector<std::int32_t> prompt(static_cast<std::size_t>(prompt_len), 'a');
    // Prompts that share a beginning, and some that continue the text of an earlier one.
    for (auto i = static_cast<std::size_t>(below(prompt_len)); i < prompt.size(); ++i) {
      prompt[i] = below(3) == 0 ? 'c' : 'b';
    }
    auto sequence = std::make_unique<Sequence>(result.id, std::move(prompt), SamplingRow{},
                                               max_tokens, std::move(output));
    if (prefix_cache_) {
      sequence->prefix.emplace();
      sequence->prefix->identity.rope_alpha = below(8) == 0 ? 3.0f : 1.0f;
      if (below(8) == 0) sequence->prefix->max_tokens = below(prompt_len + 1);
    }
    if (policies_.priorities) sequence->priority = below(4) * below(1000) - 1;
    sequence->is_recomputable = below(8) > 0;
    arrivals_[result.id] = {num_admitted_, std::ssize(scheduler_.waiting())};
    scheduler_.add(std::move(sequence));
  }

  /// The slot that holds the keys and values of a position.
  std::uint64_t& slot(const Sequence& sequence, int position) {
    const int block = sequence.blocks.at(static_cast<std::size_t>(position / limits_.block_size));
    return slots_.at(
        static_cast<std::size_t>(block * limits_.block_size + position % limits_.block_size));
  }

  /// What a position's keys and values depend on: the identity and all tokens up to it. Generated
  /// tokens are 'b', also those that are not read yet.
  static std::uint64_t content(const Sequence& sequence, int position) {
    std::uint64_t hash = sequence.prefix && sequence.prefix->identity.rope_alpha > 1 ? 7 : 1;
    for (int i = 0; i <= position; ++i) {
      const std::int32_t id =
          i < sequence.prompt_len() ? sequence.token_ids[static_cast<std::size_t>(i)] : 'b';
      hash = (hash ^ static_cast<std::uint64_t>(id)) * 0x100000001b3;
    }
    // Beyond this the content is the sequence's own.
    const bool own = sequence.prefix && position >= sequence.prefix->max_tokens;
    return own ? hash ^ (sequence.id << 32) : hash;
  }

  /// Does what a step's attention would do: appends to the cache, and reads all of it.
  void run_attention(const ScheduledRun& run) {
    const Sequence& sequence = *run.sequence;
    const int begin = run.decode ? sequence.prompt_len() + sequence.launched - 1 : run.begin;
    for (int position = begin; position < begin + run.q_len; ++position) {
      slot(sequence, position) = content(sequence, position);
    }
    for (int position = 0; position < begin; ++position) {
      ASSERT_EQ(slot(sequence, position), content(sequence, position))
          << "position " << position << " of request " << sequence.id;
    }
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
    ++num_steps_;
    const bool grows = policies_.reservation == KvReservation::grow;
    const bool could = scheduler_.can_admit();
    const auto admitted = scheduler_.admit(num_launched_);
    ASSERT_EQ(could, !admitted.empty());
    for (const Sequence* sequence : admitted) {
      ++num_admitted_;
      if (!grows) check_order(*sequence);
      ASSERT_LT(sequence->prefilled, sequence->prefill_len());
      num_reused_tokens_ += sequence->prefilled;
    }
    ScheduledStep step = scheduler_.schedule();
    while (scheduler_.grow(step, 1 + below(12)) == 0) {
      ASSERT_TRUE(grows);
      if (!unread_.empty()) {
        while (!unread_.empty()) read_step();
        return take_finished();
      }
      scheduler_.preempt();
      step = scheduler_.schedule();
    }
    scheduler_.take_grown();
    ASSERT_LE(step.num_decode + step.num_prefill_tokens, limits_.max_tokens_per_step);
    for (const ScheduledRun& run : step.runs) run_attention(run);
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

  /// First come, first served; with priorities within the bound that WaitingQueue states.
  void check_order(const Sequence& sequence) {
    const auto [admitted_before, num_older] = arrivals_.at(sequence.id);
    ASSERT_LE(num_admitted_ - admitted_before, (num_older + 1) * WaitingQueue::kAgingInterval);
    if (policies_.priorities) return;
    ASSERT_GT(sequence.id, last_admitted_) << "overtaken";
    last_admitted_ = sequence.id;
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
    scheduler_.publish(sequence);
    // Tables that grow must have the time to.
    const int what = below(policies_.reservation == KvReservation::grow ? 150 : 24);
    if (what <= 1) sequence.output.finish(FinishReason::stop);
    if (what == 2) sequence.output.fail("non-finite logits");
  }

  void take_finished() { num_finished_ += scheduler_.take_finished().size(); }

  void check() {
    std::map<std::int32_t, int> held;
    std::set<int> rows;
    for (const auto& sequence : scheduler_.running()) {
      if (!sequence->holds_row()) {
        ASSERT_TRUE(sequence->blocks.empty() && sequence->exhausted());
        continue;
      }
      const bool grows = policies_.reservation == KvReservation::grow && sequence->is_recomputable;
      const int num_written = sequence->decoding() ? sequence->prompt_len() + sequence->launched - 1
                                                   : sequence->prefill_len();
      ASSERT_GE(std::ssize(sequence->blocks) * limits_.block_size,
                grows ? num_written : sequence->prompt_len() + sequence->max_tokens - 1);
      for (const std::int32_t block : sequence->blocks) {
        const int count = ++held[block];
        ASSERT_TRUE(count == 1 || prefix_cache_) << "block " << block << " is held twice";
      }
      ASSERT_TRUE(rows.insert(sequence->state_row).second);
      ASSERT_TRUE(sequence->state_row >= 0 && sequence->state_row < limits_.max_seqs);
    }
    for (const auto& [block, count] : held) {
      ASSERT_EQ(scheduler_.blocks().ref_count(block), count);
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
  Policies policies_;
  bool prefix_cache_;
  std::map<RequestId, std::pair<std::int64_t, std::int64_t>> arrivals_;  ///< see check_order()
  std::int64_t num_admitted_ = 0;
  std::int64_t num_steps_ = 0;
  std::vector<std::uint64_t> slots_;  ///< of all blocks: what is written there, see content()
  std::int64_t num_reused_tokens_ = 0;
};

class SchedulerProperties : public ::testing::TestWithParam<Policies> {};

TEST_P(SchedulerProperties, ConservesBlocksStarvesNobodyAndMixesNoContents) {
  std::int64_t num_reused_tokens = 0;
  std::int64_t num_steps = 0;
  std::uint64_t num_preemptions = 0;
  for (std::uint32_t seed = 1; seed <= 140; ++seed) {
    SCOPED_TRACE(seed);
    RandomTraffic traffic(seed, GetParam());
    traffic.run(1500);
    if (HasFatalFailure()) return;
    num_reused_tokens += traffic.num_reused_tokens();
    num_preemptions += traffic.num_preemptions();
    num_steps += traffic.num_steps();
  }
  EXPECT_GT(num_steps, 125000) << "of eight policies: a million";
  if (GetParam().prefix_cache) {
    EXPECT_GT(num_reused_tokens, 10000);
  }
  if (GetParam().reservation == KvReservation::grow) {
    EXPECT_GT(num_preemptions, 1000u);
  } else {
    EXPECT_EQ(num_preemptions, 0u);
  }
}

std::vector<Policies> all_policies() {
  std::vector<Policies> all;
  for (const bool prefix_cache : {false, true}) {
    for (const auto reservation : {KvReservation::full, KvReservation::grow}) {
      for (const bool priorities : {false, true}) {
        all.push_back({prefix_cache, reservation, priorities});
      }
    }
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(Policies, SchedulerProperties, ::testing::ValuesIn(all_policies()),
                         [](const ::testing::TestParamInfo<Policies>& tested) {
                           return ::testing::PrintToString(tested.param);
                         });

}  // namespace
}  // namespace quern
