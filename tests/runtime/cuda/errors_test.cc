// Requests that fail on a GPU, in every decode loop mode; see tests/runtime/error_checks.h.
#include <stdexcept>

#include "backend/node_fault.h"
#include "tests/runtime/cuda/gpu_engine.h"
#include "tests/runtime/error_checks.h"

namespace quern::testing {
namespace {

struct ErrorLoop {
  const char* name;
  DeviceLoopChoice device_loop;
  int skip_steps;
  int check_interval;
  bool profile;
};

class GpuErrors : public GpuEngineTest, public ::testing::WithParamInterface<ErrorLoop> {
 protected:
  static EngineMaker maker() {
    return [](const std::string& folder, EngineOptions options) {
      options.device = DeviceChoice::cuda;
      options.device_loop = GetParam().device_loop;
      options.skip_steps = GetParam().skip_steps;
      options.check_interval = GetParam().check_interval;
      options.profile = GetParam().profile;
      return Engine::load(folder, options);
    };
  }
};

TEST_P(GpuErrors, NonfiniteLogitsEndARequest) { check_errors_alone(maker()); }
TEST_P(GpuErrors, InTheMiddleToo) { check_error_in_the_middle(maker()); }
TEST_P(GpuErrors, OthersOfTheBatchAreLeftAlone) { check_errors_in_a_batch(maker()); }
TEST_P(GpuErrors, Float16OverflowSaysSo) { check_float16_overflow(maker()); }

/// Nodes run one by one in prefill, in every mode; decode steps are recorded, except with
/// `profile`.
TEST_P(GpuErrors, AFailedStepEndsEveryRequestWithAResult) {
  for (const int nth_node : {1, 7, 20}) {
    EngineOptions options;
    options.max_seqs = 2;
    options.dtype = DType::float32;
    Engine engine = maker()(demo_model("tale-llama").string(), options);
    const std::vector<Request> requests = {endless("Once upon a time", 40), endless("The fox", 30),
                                           endless("In old times", 20)};
    {
      const NodeFault fault(nth_node);
      const auto results = engine.generate(requests);
      ASSERT_TRUE(fault.happened());
      for (const Result& result : results) {
        EXPECT_EQ(result.finish_reason, FinishReason::error) << nth_node;
        EXPECT_NE(result.error.find("a fault that a test asked for"), std::string::npos);
      }
    }
    for (const Result& result : engine.generate(requests)) {
      EXPECT_EQ(result.finish_reason, FinishReason::length) << result.error;
    }
  }
}

TEST_P(GpuErrors, AnExceptionFromACallbackCancelsItsRequests) {
  EngineOptions options;
  options.max_seqs = 2;
  options.dtype = DType::float32;
  Engine engine = maker()(demo_model("tale-llama").string(), options);
  const RequestId earlier = engine.submit(endless("The king had three sons.", 200));
  // Checked at the limit alone, a request has a single update.
  const int nth_update = GetParam().check_interval > 200 ? 1 : 4;
  int updates = 0;
  const auto generate = [&] {
    engine.generate(endless("Once upon a time", 200), [&](const Update&) {
      if (++updates == nth_update) throw std::range_error("the callback's own");
      return true;
    });
  };
  EXPECT_THROW(generate(), std::range_error);
  const Result next = engine.generate(endless("The fox", 50));
  EXPECT_EQ(next.output_ids.size(), 50u);
  while (engine.busy()) engine.step();
  const auto result = engine.take_result(earlier);
  ASSERT_TRUE(result);
  EXPECT_EQ(result->output_ids.size(), 200u);
}

INSTANTIATE_TEST_SUITE_P(
    LoopModes, GpuErrors,
    ::testing::Values(ErrorLoop{"every_step", DeviceLoopChoice::off, 0, 1, false},
                      ErrorLoop{"every_fifth", DeviceLoopChoice::off, 0, 5, false},
                      ErrorLoop{"skip_8_check_4", DeviceLoopChoice::off, 8, 4, false},
                      ErrorLoop{"at_the_limit", DeviceLoopChoice::off, 0, 1000, false},
                      ErrorLoop{"eager", DeviceLoopChoice::off, 0, 1, true},
                      ErrorLoop{"device", DeviceLoopChoice::require, 0, 1, false},
                      ErrorLoop{"automatic", DeviceLoopChoice::automatic, 0, 1, false}),
    [](const auto& mode) { return std::string(mode.param.name); });

}  // namespace
}  // namespace quern::testing
