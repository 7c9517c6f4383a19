// The demo models in float32, on the CPU and on a GPU, against Hugging Face's results.
#include "tests/runtime/golden.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <optional>

#include "backend/cuda/driver/device_query.h"
#include "quern/engine.h"
#include "quern/safetensors.h"

namespace quern {
namespace {

using Ids = std::vector<std::int32_t>;

struct GoldenCase {
  testing::GoldenModel model;
  DeviceChoice device;
};

std::vector<GoldenCase> golden_cases() {
  std::vector<GoldenCase> cases;
  for (const DeviceChoice device : {DeviceChoice::cpu, DeviceChoice::cuda}) {
    for (const auto& model : testing::golden_models()) cases.push_back({model, device});
  }
  return cases;
}

class GoldenTest : public ::testing::TestWithParam<GoldenCase> {
 protected:
  void SetUp() override {
    const CudaEnvironment cuda = query_cuda();
    if (GetParam().device == DeviceChoice::cuda &&
        !(cuda.built_with_cuda && cuda.unavailable_reason.empty())) {
      GTEST_SKIP() << "needs a GPU: "
                   << (cuda.built_with_cuda ? cuda.unavailable_reason : "a build without CUDA");
    }
    EngineOptions options;
    options.device = GetParam().device;
    options.dtype = DType::float32;
    engine_.emplace(Engine::load(testing::demo_model(GetParam().model.model).string(), options));
    golden_ = testing::read_golden(GetParam().model.golden);
  }

  /// One greedy request per case, all in one batch.
  std::vector<Result> run_cases(const char* expected_key, const Request& like) {
    std::vector<Request> requests;
    for (const auto& entry : golden_["cases"]) {
      Request request = like;
      request.prompt = entry["prompt"].get<std::string>();
      request.sampling.greedy = true;
      request.max_new_tokens = static_cast<int>(entry[expected_key].size());
      requests.push_back(request);
    }
    return engine_->generate(requests);
  }

  void expect_ids(const char* key, const Request& like) {
    const auto results = run_cases(key, like);
    for (std::size_t i = 0; i < results.size(); ++i) {
      const auto& entry = golden_["cases"][i];
      EXPECT_EQ(results[i].output_ids, entry[key].get<Ids>()) << entry["prompt"];
    }
  }

  /// See testing::logit_tolerance.
  double tolerance() const {
    return testing::logit_tolerance(engine_->info(), testing::largest_logit(golden_));
  }

  std::optional<Engine> engine_;
  nlohmann::json golden_;
};

TEST_P(GoldenTest, PromptIds) {
  for (const auto& entry : golden_["cases"]) {
    EXPECT_EQ(engine_->tokenizer().encode(entry["prompt"].get<std::string>()),
              entry["prompt_ids"].get<Ids>());
  }
}

TEST_P(GoldenTest, GreedyIdsAndLogprobs) {
  Request request;
  request.top_logprobs = 5;
  const auto results = run_cases("greedy_ids", request);
  for (std::size_t i = 0; i < results.size(); ++i) {
    const auto& entry = golden_["cases"][i];
    const Result& result = results[i];
    ASSERT_EQ(result.output_ids, entry["greedy_ids"].get<Ids>()) << entry["prompt"];
    for (std::size_t step = 0; step < result.logprobs.size(); ++step) {
      EXPECT_NEAR(result.logprobs[step].logprob, entry["greedy_logprobs"][step].get<float>(),
                  2.0 * tolerance());
    }
    // The five best of the first steps: ids, and logits relative to the best one's.
    const auto& top_ids = entry["greedy_top5_ids"];
    const auto& top_logits = entry["greedy_top5_logits"];
    for (std::size_t step = 0; step < top_ids.size(); ++step) {
      const auto& top = result.logprobs[step].top;
      ASSERT_EQ(top.size(), 5u);
      for (std::size_t k = 0; k < 5; ++k) {
        EXPECT_EQ(top[k].id, top_ids[step][k].get<int>());
        EXPECT_NEAR(top[k].logprob - top[0].logprob,
                    top_logits[step][k].get<float>() - top_logits[step][0].get<float>(),
                    2.0 * tolerance());
      }
    }
  }
}

TEST_P(GoldenTest, TopLogitsAlongTheGreedyPath) {
  for (const auto& entry : golden_["cases"]) {
    Ids ids = entry["prompt_ids"].get<Ids>();
    const std::size_t prompt_len = ids.size();
    const auto greedy = entry["greedy_ids"].get<Ids>();
    const std::size_t steps = entry["greedy_top5_ids"].size();
    ids.insert(ids.end(), greedy.begin(), greedy.begin() + static_cast<std::ptrdiff_t>(steps) - 1);
    const auto logits = engine_->logits(ids);
    const auto vocab_size = static_cast<std::size_t>(engine_->info().vocab_size);
    for (std::size_t step = 0; step < steps; ++step) {
      const float* row = logits.data() + (prompt_len - 1 + step) * vocab_size;
      for (std::size_t k = 0; k < 5; ++k) {
        EXPECT_NEAR(row[entry["greedy_top5_ids"][step][k].get<std::size_t>()],
                    entry["greedy_top5_logits"][step][k].get<float>(), tolerance());
      }
    }
  }
}

TEST_P(GoldenTest, GreedyText) {
  const auto results = run_cases("greedy_ids", {});
  for (std::size_t i = 0; i < results.size(); ++i) {
    const auto& entry = golden_["cases"][i];
    const auto prompt = entry["prompt"].get<std::string>();
    const auto whole = entry["greedy_text"].get<std::string>();
    // The golden text includes the EOS token, ours never does.
    const bool shows_end = whole.size() > 2 && whole.ends_with("|>");
    const auto end = shows_end ? whole.rfind("<|") : std::string::npos;
    EXPECT_EQ(prompt + results[i].text, whole.substr(0, end));
  }
}

TEST_P(GoldenTest, RepetitionPenalty) {
  Request request;
  request.sampling.repetition_penalty = 1.3f;
  expect_ids("repetition_penalty_1.3_ids", request);
}

TEST_P(GoldenTest, NoRepeatNgram) {
  Request request;
  request.sampling.no_repeat_ngram_size = 3;
  expect_ids("no_repeat_ngram_3_ids", request);
}

TEST_P(GoldenTest, AllLogitsOfTheSecondCase) {
  const auto file =
      SafetensorsFile::open(testing::golden_file(GetParam().model.golden + ".logits.safetensors"));
  const auto expected = file.read(file.entries().front());
  const auto ids = golden_["cases"][1]["prompt_ids"].get<Ids>();
  const auto logits = engine_->logits(ids);
  ASSERT_EQ(expected.size(), logits.size() * sizeof(float));
  double worst = 0;
  for (std::size_t i = 0; i < logits.size(); ++i) {
    float value = 0;
    std::memcpy(&value, expected.data() + i * sizeof(float), sizeof(float));
    worst = std::max(worst, std::abs(double{value} - logits[i]));
  }
  EXPECT_LT(worst, tolerance());
  RecordProperty("worst_error", std::to_string(worst));
}

TEST_P(GoldenTest, PromptLogprobsOfTheSecondCase) {
  const auto file =
      SafetensorsFile::open(testing::golden_file(GetParam().model.golden + ".logits.safetensors"));
  const auto bytes = file.read(file.entries().front());
  std::vector<float> logits(bytes.size() / sizeof(float));
  std::memcpy(logits.data(), bytes.data(), bytes.size());
  Request request;
  request.prompt_ids = golden_["cases"][1]["prompt_ids"].get<Ids>();
  request.max_new_tokens = 1;
  request.prompt_logprobs = 3;
  const Result result = engine_->generate(request);
  const Ids& ids = request.prompt_ids;
  ASSERT_EQ(result.prompt_logprobs.size(), ids.size() - 1);
  const auto vocab_size = static_cast<std::size_t>(engine_->info().vocab_size);
  for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
    const float* row = logits.data() + i * vocab_size;
    double sum = 0;
    for (std::size_t token = 0; token < vocab_size; ++token) sum += std::exp(double{row[token]});
    const TokenLogprobs& token = result.prompt_logprobs[i];
    EXPECT_EQ(token.id, ids[i + 1]);
    // The sum over the vocabulary moves with the logits, too.
    EXPECT_NEAR(token.logprob, row[ids[i + 1]] - std::log(sum), 2 * tolerance());
    ASSERT_EQ(token.top.size(), 3u);
    std::vector<float> best(row, row + vocab_size);
    std::ranges::partial_sort(best, best.begin() + 3, std::greater<>());
    for (std::size_t k = 0; k < 3; ++k) {
      EXPECT_NEAR(token.top[k].logprob, best[k] - std::log(sum), 2 * tolerance());
      EXPECT_NEAR(row[token.top[k].id], best[k], 2 * tolerance());
    }
  }
}

TEST_P(GoldenTest, Perplexity) {
  const auto ids = golden_["perplexity"]["token_ids"].get<Ids>();
  const auto logits = engine_->logits(ids);
  const auto vocab_size = static_cast<std::size_t>(engine_->info().vocab_size);
  double total = 0;
  for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
    const float* row = logits.data() + i * vocab_size;
    double sum = 0;
    for (std::size_t token = 0; token < vocab_size; ++token) sum += std::exp(double{row[token]});
    total += std::log(sum) - row[ids[i + 1]];
  }
  EXPECT_NEAR(total / static_cast<double>(ids.size() - 1),
              golden_["perplexity"]["mean_nll"].get<double>(), tolerance());
}

INSTANTIATE_TEST_SUITE_P(Models, GoldenTest, ::testing::ValuesIn(golden_cases()),
                         [](const auto& tested) {
                           std::string name = tested.param.model.model;
                           name.erase(name.find('-'), 1);
                           return name +
                                  (tested.param.device == DeviceChoice::cpu ? "Cpu" : "Cuda");
                         });

}  // namespace
}  // namespace quern
