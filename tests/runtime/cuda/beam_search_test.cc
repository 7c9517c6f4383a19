// Beam search, several answers and the prefix cache on a GPU.
#include <gtest/gtest.h>

#include <string>

#include "tests/runtime/cuda/gpu_engine.h"
#include "tests/runtime/golden.h"
#include "tests/runtime/greedy_request.h"

namespace quern {
namespace {

using Ids = std::vector<std::int32_t>;

class GpuBeams : public testing::GpuEngineTest,
                 public ::testing::WithParamInterface<DeviceLoopChoice> {
 protected:
  static Engine load(const std::string& model, bool prefix_cache = true) {
    EngineOptions options;
    options.dtype = DType::float32;
    options.device_loop = GetParam();
    options.prefix_cache = prefix_cache;
    return GpuEngineTest::load(options, model);
  }
};

TEST_P(GpuBeams, AreTheGoldenOnesInFloat32) {
  for (const auto& golden : testing::golden_models()) {
    SCOPED_TRACE(golden.model);
    Engine engine = load(golden.model);
    for (const auto& test_case : testing::read_golden(golden.golden).at("cases")) {
      const auto& ids = test_case.at("beam4_ids");
      Request request;
      request.prompt_ids = test_case.at("prompt_ids").get<Ids>();
      request.beam_search.num_beams = 4;
      request.num_return_sequences = static_cast<int>(ids.size());
      request.max_new_tokens = static_cast<int>(ids[0].size());
      const Result result = engine.generate(request);
      ASSERT_EQ(result.sequences.size(), ids.size()) << result.error;
      for (std::size_t i = 0; i < ids.size(); ++i) {
        EXPECT_EQ(result.sequences[i].output_ids, ids[i].get<Ids>()) << i;
        EXPECT_NEAR(result.sequences[i].score.value(),
                    test_case.at("beam4_scores")[i].get<double>(), 1e-3);
      }
    }
  }
}

TEST_P(GpuBeams, RunBesideRequestsThatDecode) {
  Engine engine = load("tale-llama");
  Request beams = greedy("The king had three sons.", 40);
  beams.sampling = {};
  beams.beam_search.num_beams = 4;
  const Ids alone = engine.generate(beams).output_ids;
  const Ids other = engine.generate(greedy("Once upon a time", 90)).output_ids;
  const std::vector<Request> both = {greedy("Once upon a time", 90), beams,
                                     greedy("Once upon a time", 90)};
  const auto results = engine.generate(both);
  EXPECT_EQ(results[0].output_ids, other);
  EXPECT_EQ(results[1].output_ids, alone);
  EXPECT_EQ(results[2].output_ids, other);
}

TEST_P(GpuBeams, SharedPrefixesGiveTheSameTokensInFloat32) {
  for (const auto& golden : testing::golden_models()) {
    SCOPED_TRACE(golden.model);
    Engine cached = load(golden.model);
    Engine plain = load(golden.model, false);
    for (int i = 0; i < 3; ++i) {
      Request request = greedy("", 40);
      request.ignore_eos = true;
      for (int k = 0; k < 200 + 20 * i; ++k) {
        request.prompt_ids.push_back(3 + (k * 37 + (k < 150 ? 0 : i)) % 2000);
      }
      const Result result = cached.generate(request);
      EXPECT_EQ(result.cached_prompt_tokens, i == 0 ? 0 : 128);
      EXPECT_EQ(result.output_ids, plain.generate(request).output_ids);
    }
  }
}

TEST_P(GpuBeams, SeveralAnswersAreThoseOfTheirSeeds) {
  Engine engine = load("tale-llama");
  Request request = greedy("The king had three sons.", 40);
  request.sampling = {};
  request.sampling.temperature = 0.9f;
  request.sampling.seed = 5;
  const Ids first = engine.generate(request).output_ids;
  request.num_return_sequences = 4;
  const Result result = engine.generate(request);
  ASSERT_EQ(result.sequences.size(), 4u);
  EXPECT_EQ(result.sequences[0].output_ids, first);
  EXPECT_NE(result.sequences[1].output_ids, first);
}

INSTANTIATE_TEST_SUITE_P(Loops, GpuBeams,
                         ::testing::Values(DeviceLoopChoice::automatic, DeviceLoopChoice::off),
                         [](const auto& loop) {
                           return loop.param == DeviceLoopChoice::off ? "host" : "device";
                         });

}  // namespace
}  // namespace quern
