#include <gtest/gtest.h>

#include <optional>

#include "quern/engine.h"
#include "tests/runtime/cpu_engine.h"
#include "tests/support/expect_error.h"

namespace quern {
namespace {

TEST(Resolve, FillsInTheModelsGenerationConfig) {
  Request request;
  request.prompt_ids = {1};
  const Request resolved = load({}, "tale-qwen2").resolve(request);
  EXPECT_EQ(resolved.prompt_ids, request.prompt_ids);
  const SamplingParams& sampling = resolved.sampling;
  EXPECT_EQ(sampling.temperature, 0.7f);
  EXPECT_EQ(sampling.top_k, 20);
  EXPECT_EQ(sampling.top_p, 0.8f);
  EXPECT_EQ(sampling.min_p, 0.0f);
  EXPECT_EQ(sampling.repetition_penalty, 1.05f);
  EXPECT_EQ(sampling.presence_penalty, 0.0f);
  EXPECT_EQ(sampling.no_repeat_ngram_size, 0);
  EXPECT_EQ(sampling.seed, std::nullopt);
  EXPECT_EQ(resolved.max_new_tokens, 128);
  EXPECT_EQ(load({}, "tale-qwen").resolve(request).max_new_tokens, 256);
  EXPECT_EQ(load({}, "tale-gpt2").resolve(request).sampling.temperature, 0.0f);
}

TEST(Resolve, AResolvedRequestGivesTheSameText) {
  Engine engine = load();
  Request request = greedy("Once upon a time", 12);
  request.sampling.repetition_penalty = 1.25f;
  Request drawn = request;
  drawn.sampling = {};
  drawn.sampling.top_p = 0.75f;
  drawn.sampling.seed = 3;
  for (const Request& one : {request, drawn}) {
    const Request resolved = engine.resolve(one);
    EXPECT_EQ(resolved.sampling.temperature, one.sampling.greedy ? 0.0f : 1.0f);
    EXPECT_EQ(resolved.sampling.top_p, one.sampling.greedy ? 1.0f : 0.75f);
    EXPECT_EQ(resolved.sampling.repetition_penalty, one.sampling.repetition_penalty.value_or(1.0f));
    EXPECT_EQ(resolved.max_new_tokens, 12);
    EXPECT_EQ(engine.generate(resolved).output_ids, engine.generate(one).output_ids);
  }
  drawn.sampling.top_p = 2.0f;
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"top_p", "2"}), engine.resolve(drawn));
}

}  // namespace
}  // namespace quern
