// Requests that fail alone; steps that fail as a whole; and the state of an engine after either.
#include <gtest/gtest.h>

#include <map>
#include <stdexcept>
#include <string>

#include "backend/node_fault.h"
#include "quern/engine.h"
#include "tests/runtime/cpu_engine.h"
#include "tests/runtime/error_checks.h"
#include "tests/support/expect_error.h"

namespace quern {
namespace {

using testing::EngineMaker;

struct LoopMode {
  const char* name;
  int skip_steps;
  int check_interval;
  bool profile;
};

void PrintTo(const LoopMode& mode, std::ostream* stream) { *stream << mode.name; }

class RequestErrors : public ::testing::TestWithParam<LoopMode> {
 protected:
  static EngineMaker maker() {
    return [](const std::string& folder, EngineOptions options) {
      options.device = DeviceChoice::cpu;
      options.skip_steps = GetParam().skip_steps;
      options.check_interval = GetParam().check_interval;
      options.profile = GetParam().profile;
      return Engine::load(folder, options);
    };
  }
};

TEST_P(RequestErrors, NonfiniteLogitsEndARequest) { testing::check_errors_alone(maker()); }
TEST_P(RequestErrors, InTheMiddleToo) { testing::check_error_in_the_middle(maker()); }
TEST_P(RequestErrors, OthersOfTheBatchAreLeftAlone) { testing::check_errors_in_a_batch(maker()); }

INSTANTIATE_TEST_SUITE_P(LoopModes, RequestErrors,
                         ::testing::Values(LoopMode{"every_step", 0, 1, false},
                                           LoopMode{"every_fifth", 0, 5, false},
                                           LoopMode{"skip_8_check_4", 8, 4, false},
                                           LoopMode{"at_the_limit", 0, 1000, false},
                                           LoopMode{"profile", 0, 1, true}),
                         [](const auto& mode) { return std::string(mode.param.name); });

TEST(EngineErrors, Float16OverflowSaysSo) {
  testing::check_float16_overflow([](const std::string& folder, EngineOptions options) {
    options.device = DeviceChoice::cpu;
    return Engine::load(folder, options);
  });
}

TEST(EngineErrors, ARequestThatEndsInErrorHasOneUpdateThatSaysSo) {
  const testing::PoisonedModel model;
  EngineOptions options;
  options.device = DeviceChoice::cpu;
  Engine engine = Engine::load(model.folder(), options);
  const RequestId id = engine.submit(testing::poisoned_prompt());
  std::vector<Update> updates;
  while (engine.busy()) {
    for (Update& update : engine.step()) updates.push_back(std::move(update));
  }
  ASSERT_EQ(updates.size(), 1u);
  EXPECT_EQ(updates[0].id, id);
  EXPECT_EQ(updates[0].finish_reason, FinishReason::error);
  EXPECT_NE(updates[0].error.find("float32"), std::string::npos) << updates[0].error;
  EXPECT_EQ(engine.take_result(id)->error, updates[0].error);
}

std::vector<Request> three_requests() {
  return {greedy("Once upon a time", 40), greedy("The fox", 30), greedy("In old times", 20)};
}

/// All three end with the fault's message, at any node; then the engine works as before.
void expect_all_fail(int nth_node, int check_interval) {
  EngineOptions options;
  options.max_seqs = 2;  // one waits
  options.check_interval = check_interval;
  Engine engine = load(options);
  std::vector<RequestId> ids;
  for (const Request& request : three_requests()) ids.push_back(engine.submit(request));
  std::map<RequestId, Update> ends;
  {
    const NodeFault fault(nth_node);
    while (engine.busy()) {
      for (const Update& update : engine.step()) {
        if (!update.finish_reason) continue;
        EXPECT_TRUE(ends.emplace(update.id, update).second) << "a second end";
      }
    }
    ASSERT_TRUE(fault.happened());
  }
  for (const RequestId id : ids) {
    ASSERT_EQ(ends.count(id), 1u) << "node " << nth_node;
    EXPECT_EQ(ends[id].finish_reason, FinishReason::error);
    EXPECT_NE(ends[id].error.find("a fault that a test asked for"), std::string::npos);
    const auto result = engine.take_result(id);
    ASSERT_TRUE(result);
    EXPECT_EQ(result->finish_reason, FinishReason::error);
    EXPECT_EQ(result->error, ends[id].error);
  }
  Engine other = load();
  for (const Request& request : three_requests()) {
    EXPECT_EQ(engine.generate(request).output_ids, other.generate(request).output_ids);
  }
}

TEST(EngineErrors, AFailedStepEndsEveryRequestWithAResult) {
  // Faults in the prompt's step, in its last nodes, in the first decode step and in a later one.
  for (const int nth_node : {1, 7, 24, 25, 30, 200}) {
    for (const int check_interval : {1, 16}) expect_all_fail(nth_node, check_interval);
  }
}

TEST(EngineErrors, ADeviceThatIsLostEndsWhateverComes) {
  Engine engine = load();
  const NodeFault fault(3, true);
  for (int again = 0; again < 2; ++again) {
    for (const Result& result : engine.generate(three_requests())) {
      EXPECT_EQ(result.finish_reason, FinishReason::error);
      EXPECT_NE(result.error.find("a fault that a test asked for"), std::string::npos);
    }
    EXPECT_FALSE(engine.busy());
  }
}

/// Throws from the callback of the n-th update; the engine must be as good as new, and an earlier
/// request continues.
void expect_usable_after_exception(int nth_update, const EngineOptions& options) {
  Engine engine = load(options);
  const Request earlier = greedy("The king had three sons.", 50);
  const RequestId earlier_id = engine.submit(earlier);
  int updates = 0;
  const auto generate = [&] {
    return engine.generate(three_requests(), [&](const Update&) {
      if (++updates == nth_update) throw std::range_error("the callback's own");
      return true;
    });
  };
  EXPECT_THROW(generate(), std::range_error);
  Engine other = load();
  // Their rows and blocks are free: these need all of them.
  const auto results = engine.generate(three_requests());
  for (std::size_t i = 0; i < results.size(); ++i) {
    EXPECT_EQ(results[i].output_ids, other.generate(three_requests()[i]).output_ids);
  }
  const auto result = engine.take_result(earlier_id);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->output_ids, other.generate(earlier).output_ids);
  EXPECT_EQ(result->text, other.generate(earlier).text);
  // Of the four requests before, these have the ids 2 to 4: no state of them is left.
  for (const RequestId id : {2, 3, 4}) EXPECT_FALSE(engine.take_result(id));
  EXPECT_FALSE(engine.busy());
}

TEST(EngineErrors, AnExceptionFromACallbackCancelsItsRequests) {
  for (const int nth_update : {1, 2, 9, 60}) {
    for (const int check_interval : {1, 8}) {
      EngineOptions options;
      options.max_seqs = 2;
      options.check_interval = check_interval;
      options.max_seq_len = 128;
      options.kv_cache_memory_bytes = std::uint64_t{2} * 4 * 32 * 4 * 192 * 2 * 4;
      expect_usable_after_exception(check_interval == 1 ? nth_update : std::min(nth_update, 9),
                                    options);
    }
  }
}

}  // namespace
}  // namespace quern
