#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "quern/engine.h"
#include "tests/runtime/greedy_request.h"
#include "tests/support/changed_model.h"

// Requirements for failing requests, on every device and in every decode loop mode.

namespace quern::testing {

/// An engine for a model folder, on the device and in the loop mode under test.
using EngineMaker = std::function<Engine(const std::string& folder, EngineOptions options)>;

/// A request whose prompt has the poison.
inline Request poisoned_prompt() {
  Request request = greedy("", 40);
  request.prompt_ids = {1, 300, PoisonedModel::kPoison, 400, 500};
  return request;
}

/// One that chooses the poison as its first token and fails with it as the next input.
inline Request poisoned_choice() {
  Request request = greedy("Once upon a time", 40);
  request.ignore_eos = true;
  request.sampling.logit_bias = {{PoisonedModel::kPoison, 1000.0f}};
  return request;
}

inline void expect_error_end(const Result& result, const std::vector<std::int32_t>& output_ids) {
  EXPECT_EQ(result.finish_reason, FinishReason::error);
  EXPECT_NE(result.error.find("non-finite logits"), std::string::npos) << result.error;
  EXPECT_EQ(result.output_ids, output_ids);
}

inline void check_errors_alone(const EngineMaker& make) {
  const PoisonedModel model;
  Engine engine = make(model.folder(), {});
  for (int again = 0; again < 2; ++again) {
    Request prompt = poisoned_prompt();
    prompt.top_logprobs = 2;
    expect_error_end(engine.generate(prompt), {});
    Request chosen = poisoned_choice();
    chosen.top_logprobs = 0;
    std::string error;
    int ends = 0;
    const Result result = engine.generate(chosen, [&](const Update& update) {
      error += update.error;
      ends += update.finish_reason == FinishReason::error ? 1 : 0;
      return true;
    });
    expect_error_end(result, {PoisonedModel::kPoison});
    EXPECT_EQ(result.logprobs.size(), 1u) << "none of the row that is not finite";
    EXPECT_EQ(error, result.error) << "told once, with the last update";
    EXPECT_EQ(ends, 1);
  }
}

/// A request fails in the middle: its tokens up to there equal the intact model's.
inline void check_error_in_the_middle(const EngineMaker& make) {
  EngineOptions options;
  options.dtype = DType::float32;
  const Request request = greedy("The king had three sons.", 60);
  const Result whole = make(demo_model("tale-llama").string(), options).generate(request);
  // The first token from the twentieth on that did not occur before.
  auto end = whole.output_ids.begin() + 20;
  const auto is_known = [&](std::int32_t id) {
    return std::find(whole.output_ids.begin(), end, id) != end ||
           std::find(whole.prompt_ids.begin(), whole.prompt_ids.end(), id) !=
               whole.prompt_ids.end();
  };
  while (is_known(*end)) ++end;
  const PoisonedModel model(*end);
  const Result result = make(model.folder(), options).generate(request);
  expect_error_end(result, {whole.output_ids.begin(), end + 1});
  EXPECT_EQ(whole.text.substr(0, result.text.size()), result.text);
  EXPECT_FALSE(result.text.empty());
}

/// Healthy requests give the same results while others fail next to them, before them in their rows
/// and blocks, and after.
inline void check_errors_in_a_batch(const EngineMaker& make) {
  std::vector<Request> healthy;
  for (const char* prompt : {"Once upon a time", "The fox", "The king had three sons.",
                             "There was once a poor man", "In old times"}) {
    healthy.push_back(greedy(prompt, 12 + 7 * static_cast<int>(healthy.size())));
    healthy.back().top_logprobs = 1;
  }
  EngineOptions options;
  options.dtype = DType::float32;
  options.max_seqs = 3;
  options.max_tokens_per_step = 16;
  std::vector<Result> expected;
  Engine single = make(demo_model("tale-llama").string(), options);
  for (const Request& request : healthy) expected.push_back(single.generate(request));

  const PoisonedModel model;
  Engine engine = make(model.folder(), options);
  std::vector<Request> requests;
  for (const Request& request : healthy) {
    for (Request bad : {poisoned_prompt(), poisoned_choice()}) {
      bad.top_logprobs = 1;
      requests.push_back(bad);
    }
    requests.push_back(request);
  }
  for (int again = 0; again < 2; ++again) {
    const auto results = engine.generate(requests);
    for (std::size_t i = 0; i < healthy.size(); ++i) {
      SCOPED_TRACE(i);
      expect_error_end(results[3 * i], {});
      expect_error_end(results[3 * i + 1], {PoisonedModel::kPoison});
      const Result& good = results[3 * i + 2];
      EXPECT_EQ(good.output_ids, expected[i].output_ids);
      EXPECT_EQ(good.text, expected[i].text);
      EXPECT_EQ(good.finish_reason, expected[i].finish_reason);
      EXPECT_EQ(good.error, "");
      for (const TokenLogprobs& token : good.logprobs) EXPECT_TRUE(std::isfinite(token.logprob));
    }
  }
}

inline void check_float16_overflow(const EngineMaker& make) {
  const OverflowingModel model;
  EngineOptions options;
  options.dtype = DType::float16;
  const Result narrow = make(model.folder(), options).generate(greedy("Once upon a time", 6));
  EXPECT_EQ(narrow.finish_reason, FinishReason::error);
  EXPECT_EQ(narrow.error, "non-finite logits; float16 overflow? try bfloat16");
  EXPECT_TRUE(narrow.output_ids.empty());
  options.dtype = DType::bfloat16;
  const Result wide = make(model.folder(), options).generate(greedy("Once upon a time", 6));
  EXPECT_EQ(wide.finish_reason, FinishReason::length) << wide.error;
  EXPECT_EQ(wide.output_ids.size(), 6u);
}

}  // namespace quern::testing
