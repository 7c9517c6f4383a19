#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "quern/engine.h"
#include "tests/support/expect_error.h"

namespace quern {
namespace {

constexpr std::int32_t kPrompt[] = {11, 500, 3, 40000, 7, 7, 21};

Engine load_random(RandomModel model, std::optional<DType> dtype = std::nullopt) {
  EngineOptions options;
  options.device = DeviceChoice::cpu;
  options.dtype = dtype;
  options.max_seqs = 1;
  options.max_seq_len = 64;
  return Engine::load(model, options);
}

double root_mean_square(const std::vector<float>& values) {
  double sum = 0.0;
  for (const float value : values) sum += double{value} * value;
  return std::sqrt(sum / static_cast<double>(values.size()));
}

TEST(RandomModel, SaysWhatItIs) {
  Engine engine = load_random({.shape = "gpt_350m", .num_layers = 2});
  EXPECT_TRUE(engine.info().random_weights);
  EXPECT_EQ(engine.info().name, "gpt_350m");
  EXPECT_EQ(engine.info().num_hidden_layers, 2);
  EXPECT_TRUE(engine.info().eos_token_ids.empty());
  EXPECT_EQ(engine.tokenizer().description(), "none");

  Request request;
  request.prompt = "text";
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"no tokenizer", "ids"}),
                     engine.submit(request));
  request.prompt_ids = {1, 2, 3};
  request.max_new_tokens = 4;
  const Result result = engine.generate(request);
  EXPECT_EQ(result.output_ids.size(), 4U);
  EXPECT_EQ(result.text, "");
  EXPECT_EQ(result.finish_reason, FinishReason::length);
}

TEST(RandomModel, LogitsAreSaneInEveryDtype) {
  for (const auto& model :
       {RandomModel{.shape = "gpt_350m", .num_layers = 3},
        RandomModel{.shape = "qwen2.5_0.5b", .num_layers = 2, .outliers = true}}) {
    SCOPED_TRACE(model.shape);
    const auto logits = load_random(model).logits(kPrompt);
    const double size = root_mean_square(logits);
    EXPECT_GT(size, 0.1);
    EXPECT_LT(size, 10.0);

    auto error = load_random(model, DType::float16).logits(kPrompt);
    for (std::size_t i = 0; i < error.size(); ++i) error[i] -= logits[i];
    EXPECT_LT(root_mean_square(error), 0.01 * size);
  }
}

TEST(RandomModel, TheSeedDecides) {
  RandomModel model{.shape = "gpt_350m", .num_layers = 1};
  const auto logits = load_random(model).logits(kPrompt);
  EXPECT_EQ(load_random(model).logits(kPrompt), logits);
  model.weights_seed = 1;
  EXPECT_NE(load_random(model).logits(kPrompt), logits);
}

TEST(RandomModel, UnknownShapesAreErrors) {
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"'gpt_9'", "gpt_350m"}),
                     load_random({.shape = "gpt_9"}));
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"layers 99", "1 to 24"}),
                     load_random({.shape = "gpt_350m", .num_layers = 99}));
  EXPECT_EQ(known_shapes().size(), 9U);
}

}  // namespace
}  // namespace quern
