// Decode steps are recorded at load: few of them, within the plan, and nothing is allocated or
// recorded afterwards, for any batch.
#include "backend/cuda/cuda_backend.h"
#include "tests/runtime/cuda/gpu_engine.h"

namespace quern::testing {
namespace {

constexpr int kMaxSeqs = 9;
constexpr int kMostRecordings = 32;

struct RecordedLoopMode {
  std::string name;
  DeviceLoopChoice device_loop;
  int check_interval;
  bool recorded;
};

std::vector<RecordedLoopMode> recorded_loop_modes() {
  using enum DeviceLoopChoice;
  return {{"node_by_node", off, 1, false},
          {"every_step", off, 1, true},
          {"every_fifth", off, 5, true},
          {"device", require, 1, true}};
}

class RecordingsTest : public GpuEngineTest {
 protected:
  static EngineOptions options_of(const RecordedLoopMode& mode) {
    EngineOptions options;
    options.dtype = DType::float32;
    options.max_seqs = kMaxSeqs;
    options.max_tokens_per_step = 64;  // so that prefill and decode mix
    options.device_loop = mode.device_loop;
    options.check_interval = mode.check_interval;
    options.profile = !mode.recorded;
    return options;
  }

  /// Requests that end one after another.
  static std::vector<Request> requests(int count) {
    std::vector<Request> requests;
    std::string prompt = "Once";
    for (int i = 0; i < count; ++i) {
      Request request = endless(prompt, 12 + 5 * i);
      if (i % 2 == 1) {
        request.sampling = {};
        request.sampling.temperature = 0.9f;
        request.sampling.top_p = 0.9f;
        request.sampling.seed = 1000u + static_cast<unsigned>(i);
      }
      requests.push_back(request);
      prompt += " upon a time there was a king";
    }
    return requests;
  }
};

TEST_F(RecordingsTest, EveryBatchSizeGivesTheSameTokensInEveryMode) {
  for (const std::string model : {"tale-gpt2", "tale-llama", "tale-qwen", "tale-qwen2"}) {
    std::vector<Result> alone;
    for (const RecordedLoopMode& mode : recorded_loop_modes()) {
      SCOPED_TRACE(model + " " + mode.name);
      Engine engine = load(options_of(mode), model);
      if (alone.empty()) {
        for (const Request& request : requests(kMaxSeqs)) alone.push_back(engine.generate(request));
      }
      for (int count = 1; count <= kMaxSeqs; ++count) {
        const auto results = engine.generate(requests(count));
        for (std::size_t i = 0; i < results.size(); ++i) {
          EXPECT_EQ(results[i].output_ids, alone[i].output_ids) << i << " of " << count;
        }
      }
      if (mode.recorded) {
        EXPECT_EQ(engine.timing().loop, mode.device_loop == DeviceLoopChoice::require
                                            ? LoopRunner::device
                                            : LoopRunner::host);
      }
    }
  }
}

TEST_F(RecordingsTest, AreFewAndWithinThePlan) {
  for (const RecordedLoopMode& mode : recorded_loop_modes()) {
    SCOPED_TRACE(mode.name);
    const EngineOptions options = options_of(mode);
    load(options);  // loads lazily loaded kernels
    const Engine engine = load(options);
    const MemoryPlan& plan = engine.memory_plan();
    EXPECT_LE(plan.num_recordings, kMostRecordings);
    EXPECT_EQ(plan.num_recordings > 0, mode.recorded);
    EXPECT_EQ(plan.recording_bytes > 0, mode.recorded);
    EXPECT_LE(engine.timing().recording_bytes, plan.recording_bytes);
    RecordProperty(mode.name, std::to_string(plan.num_recordings) + " recordings, " +
                                  std::to_string(engine.timing().recording_bytes) + " bytes of " +
                                  std::to_string(plan.recording_bytes));
    GTEST_LOG_(INFO) << mode.name << ": " << plan.num_recordings << " recordings take "
                     << engine.timing().recording_bytes << " bytes, planned "
                     << plan.recording_bytes;
    EngineOptions same = options;
    same.device = DeviceChoice::cuda;
    const ModelSummary summary = inspect(demo_model("tale-llama").string(), same);
    EXPECT_EQ(summary.memory_plan.num_recordings, plan.num_recordings);
    EXPECT_EQ(summary.memory_plan.recording_bytes, plan.recording_bytes);
  }
}

TEST_F(RecordingsTest, NothingIsAllocatedInAStep) {
  const auto probe = make_cuda_backend();
  for (const RecordedLoopMode& mode : recorded_loop_modes()) {
    SCOPED_TRACE(mode.name);
    const auto use = [](Engine& engine) {
      for (int count = kMaxSeqs; count >= 1; --count) engine.generate(requests(count));
      engine.generate(endless("Once upon a time", 600));  // three context lengths
    };
    {
      Engine first = load(options_of(mode));
      use(first);  // loads lazily loaded kernels
    }
    Engine engine = load(options_of(mode));
    const std::uint64_t free_before = probe->available_bytes();
    use(engine);
    EXPECT_GT(engine.timing().steps_run, 200u);
    EXPECT_EQ(probe->available_bytes(), free_before);
  }
}

}  // namespace
}  // namespace quern::testing
