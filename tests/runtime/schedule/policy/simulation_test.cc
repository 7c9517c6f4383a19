// A server's load on the scheduler, with a model of the time of a step in place of a device.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "runtime/schedule/scheduler.h"
#include "tests/runtime/fake_tokenizer.h"

namespace quern {
namespace {

/// About that of LLaMA-7B in float16 on an H100: weights are read once, products follow.
double step_ms(int num_tokens) { return 5.5 + 0.02 * num_tokens; }

struct Load {
  double requests_per_s = 20;
  double share_of_long_prompts = 0.02;
  double share_of_low_priority = 0;
  KvReservation reservation = KvReservation::full;
  std::int64_t num_blocks = 4096;
  int max_live = 1 << 20;  ///< arrivals pause there: an overload without end has no bounds
};

constexpr int kLongPrompt = 6000;
constexpr int kShortPrompt = 64;

struct Waits {
  std::vector<double> short_ms;  ///< submission to first token of prompts up to kShortPrompt
  std::vector<double> long_ms;   ///< the same of long prompts
  std::vector<double> low_ms;    ///< submission to end of low priority
  std::vector<double> high_ms;   ///< the same of the others
  double token_ms = 0;           ///< the longest time between two tokens of one that ran on
  std::int64_t num_steps = 0;
  double total_ms = 0;
};

class Server {
 public:
  Server(const Load& load, std::uint32_t seed)
      : load_(load), limits_(limits(load)), scheduler_(limits_, load.reservation), random_(seed) {}

  Waits run(std::int64_t num_steps) {
    double next_ms = 0;
    while (waits_.num_steps < num_steps || !scheduler_.idle()) {
      ++waits_.num_steps;
      EXPECT_LT(waits_.num_steps, num_steps + 200000) << "a request starves";
      if (::testing::Test::HasFailure()) return waits_;
      while (waits_.num_steps < num_steps && next_ms <= now_ms_) {
        if (std::ssize(requests_) < load_.max_live) submit();
        next_ms += std::exponential_distribution(load_.requests_per_s / 1000)(random_);
      }
      step();
      if (scheduler_.idle()) now_ms_ = std::max(now_ms_, next_ms);
    }
    EXPECT_EQ(scheduler_.blocks().num_free(), limits_.num_blocks);
    EXPECT_EQ(scheduler_.num_free_rows(), static_cast<std::size_t>(limits_.max_seqs));
    waits_.total_ms = now_ms_;
    return waits_;
  }
  const Limits& limits() const { return limits_; }

 private:
  struct Live {
    double submitted_ms = 0;
    double last_token_ms = -1;
    int num_preemptions = 0;
  };

  static Limits limits(const Load& load) {
    Limits limits;
    limits.max_seqs = 64;
    limits.max_seq_len = 8192;
    limits.max_tokens_per_step = 512;
    limits.max_mixed_tokens = 256;
    limits.num_blocks = load.num_blocks;
    return limits;
  }

  double uniform() { return std::uniform_real_distribution<>(0, 1)(random_); }
  int between(int low, int high) { return std::uniform_int_distribution<>(low, high)(random_); }

  void submit() {
    const int prompt_len = uniform() < load_.share_of_long_prompts ? kLongPrompt : between(1, 512);
    const int num_tokens = between(1, 256);
    Result result;
    result.id = ++last_id_;
    // The longest it may get, of which it knows nothing.
    const int max_tokens = 512;
    SequenceOutput output(tokenizer_, {}, result, {}, max_tokens, FinishReason::length);
    auto sequence = std::make_unique<Sequence>(
        last_id_, std::vector<std::int32_t>(static_cast<std::size_t>(prompt_len), 'a'),
        SamplingRow{}, max_tokens, std::move(output));
    if (uniform() < load_.share_of_low_priority) sequence->priority = 1;
    requests_[last_id_] = {now_ms_};
    lengths_[last_id_] = num_tokens;
    scheduler_.add(std::move(sequence));
  }

  void step() {
    scheduler_.admit(waits_.num_steps);
    ScheduledStep step = scheduler_.schedule();
    while (scheduler_.grow(step, 1) == 0) {
      scheduler_.preempt();
      step = scheduler_.schedule();
    }
    scheduler_.take_grown();
    scheduler_.launched(step, 1);
    const int num_tokens = step.num_decode + step.num_prefill_tokens;
    ASSERT_LE(num_tokens, limits_.max_tokens_per_step);
    now_ms_ += step.runs.empty() ? 0 : step_ms(num_tokens);
    for (const ScheduledRun& run : step.runs) {
      if (run.samples) take_token(*run.sequence);
    }
    scheduler_.take_finished();
  }

  void take_token(Sequence& sequence) {
    TokenLogprobs token;
    token.id = 'b';
    sequence.accept(token);
    Live& live = requests_.at(sequence.id);
    if (live.last_token_ms < 0) {
      const double wait = now_ms_ - live.submitted_ms;
      if (sequence.prompt_len() <= kShortPrompt) waits_.short_ms.push_back(wait);
      if (sequence.prompt_len() == kLongPrompt) waits_.long_ms.push_back(wait);
    } else if (live.num_preemptions == sequence.num_preemptions) {
      waits_.token_ms = std::max(waits_.token_ms, now_ms_ - live.last_token_ms);
    }
    live.last_token_ms = now_ms_;
    live.num_preemptions = sequence.num_preemptions;
    if (sequence.num_generated() < lengths_.at(sequence.id)) return;
    sequence.output.finish(FinishReason::stop);
    (sequence.priority > 0 ? waits_.low_ms : waits_.high_ms).push_back(now_ms_ - live.submitted_ms);
    requests_.erase(sequence.id);
    lengths_.erase(sequence.id);
  }

  Load load_;
  Limits limits_;
  Scheduler scheduler_;
  std::mt19937 random_;
  testing::ByteTokenizer tokenizer_;
  double now_ms_ = 0;
  RequestId last_id_ = 0;
  std::map<RequestId, Live> requests_;
  std::map<RequestId, int> lengths_;
  Waits waits_;
};

double quantile(std::vector<double> values, double share) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  return values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1))];
}

TEST(ServerSimulation, TokensComeAtLeastAsOftenAsTheLargestStep) {
  for (const auto reservation : {KvReservation::full, KvReservation::grow}) {
    Load load;
    load.reservation = reservation;
    Server server(load, 1);
    const Waits waits = server.run(30000);
    EXPECT_LE(waits.token_ms, step_ms(server.limits().max_tokens_per_step) + 1e-6);
    EXPECT_GT(waits.token_ms, 0);
  }
}

TEST(ServerSimulation, ALongPromptDoesNotHoldUpShortOnes) {
  Load load;
  load.requests_per_s = 12;
  load.share_of_long_prompts = 0.1;
  const Waits waits = Server(load, 2).run(30000);
  // Alone a long prompt takes 12 steps of 15.7 ms, and there may be several.
  EXPECT_LT(quantile(waits.short_ms, 0.5), 2 * step_ms(512));
  EXPECT_LT(quantile(waits.short_ms, 0.99), 8 * step_ms(512));
  // With half of each step it takes 47 steps of 256 tokens at worst, behind those that came before.
  EXPECT_LT(quantile(waits.long_ms, 0.5), 47 * step_ms(256));
}

TEST(ServerSimulation, LowPriorityIsServedUnderOverload) {
  Load load;
  load.requests_per_s = 200;
  load.share_of_low_priority = 0.4;
  load.max_live = 300;
  for (const auto reservation : {KvReservation::full, KvReservation::grow}) {
    load.reservation = reservation;
    load.num_blocks = reservation == KvReservation::grow ? 700 : 4096;
    const Waits waits = Server(load, 3).run(30000);
    ASSERT_GT(waits.low_ms.size(), 100u);
    EXPECT_GT(quantile(waits.low_ms, 0.5), 2 * quantile(waits.high_ms, 0.5)) << "it is low";
    // Every eighth admission is the oldest's, so the last of 300 is among the next 2400.
    const double num_ended = static_cast<double>(waits.low_ms.size() + waits.high_ms.size());
    EXPECT_LT(quantile(waits.low_ms, 1), 8 * 300 * waits.total_ms / num_ended);
  }
}

TEST(ServerSimulation, GrowthRunsMoreAtATimeInTheSameMemory) {
  Load load;
  load.requests_per_s = 200;
  load.share_of_long_prompts = 0;
  load.max_live = 200;
  load.num_blocks = 600;
  const Waits full = Server(load, 4).run(30000);
  load.reservation = KvReservation::grow;
  const Waits grow = Server(load, 4).run(30000);
  const auto rate = [](const Waits& waits) { return static_cast<double>(waits.high_ms.size()); };
  EXPECT_GT(rate(grow), 1.5 * rate(full)) << "requests in as many steps";
}

}  // namespace
}  // namespace quern
