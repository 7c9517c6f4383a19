// Decode batches padded to a recorded size: results do not depend on padding.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "runtime/load/engine_plan.h"
#include "runtime/load/opened_model.h"
#include "runtime/output/ring_reader.h"
#include "runtime/request/request_check.h"
#include "runtime/run/model_runner.h"
#include "runtime/schedule/scheduler.h"
#include "tests/runtime/cpu_engine.h"

namespace quern {
namespace {

constexpr int kMaxSeqs = 9;
constexpr int kStepsPerCheck = 3;

/// An engine's components on the CPU, with a plan that records decode steps or does not.
class RunOfRequests {
 public:
  RunOfRequests(const std::string& model, bool recorded)
      : model_(open_model(testing::demo_model(model).string(), options())),
        backend_(make_cpu_backend()),
        plan_(plan_for(recorded)),
        runner_(model_, plan_, *backend_),
        ring_(runner_.arrays().ring()),
        scheduler_(plan_.limits) {}

  /// Results of the requests, in order; `batch_sizes` receives the decode batch sizes including
  /// padding.
  std::vector<Result> run(const std::vector<Request>& requests, std::vector<int>& batch_sizes) {
    for (std::size_t i = 0; i < requests.size(); ++i) {
      scheduler_.add(make_sequence(i, requests[i], model_, plan_.limits.max_seq_len));
    }
    std::map<RequestId, Result> results;
    while (!scheduler_.idle()) {
      for (const Sequence* sequence : scheduler_.admit()) {
        runner_.arrays().write_sequence(*sequence, initial_rope_alpha(model_, *sequence));
      }
      run_step(scheduler_.schedule(), batch_sizes);
      for (const auto& sequence : scheduler_.take_finished()) {
        results.emplace(sequence->id, sequence->output.take_result());
      }
    }
    std::vector<Result> in_order;
    for (auto& [id, result] : results) in_order.push_back(std::move(result));
    return in_order;
  }

  const SequenceState& state() { return runner_.arrays().state(); }
  const Limits& limits() const { return plan_.limits; }

 private:
  static EngineOptions options() {
    EngineOptions options;
    options.device = DeviceChoice::cpu;
    options.max_seqs = kMaxSeqs;
    options.max_seq_len = 128;
    options.check_interval = kStepsPerCheck;
    return resolve_options(options);
  }
  EnginePlan plan_for(bool recorded) {
    EnginePlan plan = plan_engine(model_, *backend_, options());
    EXPECT_TRUE(plan.decode_buckets.empty()) << "the CPU has no launches to save";
    if (recorded) plan.decode_buckets = {kMaxSeqs, plan.limits.max_seq_len};
    return plan;
  }

  void run_step(const ScheduledStep& step, std::vector<int>& batch_sizes) {
    ASSERT_FALSE(step.runs.empty());
    const BatchView batch = runner_.write_batch(step);
    int times = 1;
    if (step.num_prefill_tokens > 0) {
      EXPECT_EQ(batch.num_seqs, std::ssize(step.runs)) << "prompts bring no padding";
      runner_.run(batch);
    } else {
      times = kStepsPerCheck;
      batch_sizes.push_back(batch.num_seqs);
      runner_.replay_decode(batch, times);
    }
    scheduler_.launched(step, times);
    const int unread = ring_.num_unread();
    for (const auto& sequence : scheduler_.running()) {
      for (int i = 0; i < unread && !sequence->output.finished(); ++i) {
        TokenLogprobs token =
            ring_.token(i, sequence->state_row, sequence->sampling.num_top_logprobs);
        if (token.id >= 0) sequence->output.accept(std::move(token));
      }
    }
    ring_.consume(unread);
  }

  OpenedModel model_;
  std::unique_ptr<Backend> backend_;
  EnginePlan plan_;
  ModelRunner runner_;
  RingReader ring_;
  Scheduler scheduler_;
};

class PaddingTest : public ::testing::TestWithParam<std::string> {};

TEST_P(PaddingTest, ChangesNoTokenOfOneToNineSequences) {
  auto requests = sixteen_requests(false);
  auto sampled = sixteen_requests(true);
  for (std::size_t i = 1; i < requests.size(); i += 2) requests[i] = sampled[i];
  for (std::size_t i = 0; i < requests.size(); ++i) {
    requests[i].max_new_tokens = 6 + static_cast<int>(i);  // they end one by one
    requests[i].top_logprobs = 3;
  }
  RunOfRequests padded(GetParam(), true);
  RunOfRequests unpadded(GetParam(), false);
  for (int count = 1; count <= kMaxSeqs; ++count) {
    SCOPED_TRACE(::testing::Message() << count << " sequences");
    const std::vector<Request> some(requests.begin(), requests.begin() + count);
    std::vector<int> padded_sizes;
    std::vector<int> sizes;
    const auto results = padded.run(some, padded_sizes);
    const auto expected = unpadded.run(some, sizes);
    EXPECT_EQ(sizes.front(), count);
    ASSERT_EQ(padded_sizes.size(), sizes.size());
    const DecodeBuckets buckets(kMaxSeqs, padded.limits().max_seq_len);
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      EXPECT_EQ(padded_sizes[i], buckets.shape_for(sizes[i], 1).num_seqs);
    }
    ASSERT_EQ(results.size(), expected.size());
    for (std::size_t i = 0; i < results.size(); ++i) {
      SCOPED_TRACE(i);
      EXPECT_EQ(results[i].output_ids, expected[i].output_ids);
      EXPECT_EQ(results[i].finish_reason, expected[i].finish_reason);
      ASSERT_EQ(results[i].logprobs.size(), expected[i].logprobs.size());
      for (std::size_t j = 0; j < results[i].logprobs.size(); ++j) {
        EXPECT_EQ(results[i].logprobs[j].logprob, expected[i].logprobs[j].logprob);
      }
    }
  }
  // No step has changed the padding's row.
  const int row = padded.limits().padding_row();
  EXPECT_EQ(padded.state().finished[row], static_cast<int>(SequenceStatus::stop));
  EXPECT_EQ(padded.state().kv_len[row], 0);
  EXPECT_EQ(padded.state().position[row], 0);
  EXPECT_EQ(padded.state().generated[row], 0);
  EXPECT_EQ(padded.state().last_token[row], 0);
}

TEST_P(PaddingTest, GivesWhatAnEngineGives) {
  const auto requests = sixteen_requests(true);
  EngineOptions options;
  options.max_seqs = kMaxSeqs;
  options.max_seq_len = 128;
  const auto expected = load(options, GetParam()).generate(requests);
  std::vector<int> sizes;
  const auto results = RunOfRequests(GetParam(), true).run(requests, sizes);
  ASSERT_EQ(results.size(), expected.size());
  for (std::size_t i = 0; i < results.size(); ++i) {
    EXPECT_EQ(results[i].output_ids, expected[i].output_ids) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, PaddingTest,
                         ::testing::Values("tale-gpt2", "tale-llama", "tale-qwen", "tale-qwen2"),
                         [](const auto& test) {
                           std::string name = test.param;
                           name[4] = '_';
                           return name;
                         });

}  // namespace
}  // namespace quern
