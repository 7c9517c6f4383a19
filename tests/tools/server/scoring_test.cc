#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "quern/engine.h"
#include "tests/support/test_files.h"
#include "tests/tools/quern/child_process.h"
#include "tests/tools/server/server_fixture.h"

// Log-probabilities of prompts, as evaluation harnesses ask for them.

namespace quern::testing {
namespace {

using Json = nlohmann::ordered_json;
using ScoringTest = ServerTest;

/// As lm-eval's local-completions asks for them.
TEST_F(ScoringTest, EchoedPromptsHaveTheirLogprobs) {
  EngineOptions options;
  options.device = DeviceChoice::cpu;
  Engine engine = Engine::load(TestServer::folder("tale-gpt2"), options);
  Request request;
  request.prompt = "The king had three sons.";
  request.sampling.greedy = true;
  request.max_new_tokens = 1;
  request.top_logprobs = 2;
  request.prompt_logprobs = 2;
  const Result expected = engine.generate(request);
  const std::size_t num_prompt = expected.prompt_ids.size();
  Json body = {{"prompt", Json::array({expected.prompt_ids, expected.prompt_ids})},
               {"max_tokens", 1},
               {"temperature", 1},
               {"seed", 1},
               {"echo", true},
               {"logprobs", 2},
               {"n", 2}};
  const Json json = gpt2_->post("/v1/completions", body.dump()).json();
  ASSERT_EQ(json["choices"].size(), 4);
  for (const Json& choice : json["choices"]) {
    const Json& logprobs = choice["logprobs"];
    std::string text;
    for (const Json& token : logprobs["tokens"]) text += token.get<std::string>();
    EXPECT_EQ(text, choice["text"].get<std::string>());
    ASSERT_EQ(logprobs["token_logprobs"].size(), num_prompt + 1);
    EXPECT_TRUE(logprobs["token_logprobs"][0].is_null());
    EXPECT_TRUE(logprobs["top_logprobs"][0].is_null());
    for (std::size_t i = 1; i < num_prompt; ++i) {
      EXPECT_NEAR(logprobs["token_logprobs"][i].get<double>(),
                  expected.prompt_logprobs[i - 1].logprob, 1e-5)
          << i;
    }
  }
  // In a stream the prompt's come with the first chunk.
  body["stream"] = true;
  body["n"] = 1;
  body["prompt"] = request.prompt;
  std::vector<std::string> tokens;
  for (const std::string& event : gpt2_->post("/v1/completions", body.dump()).events()) {
    if (event == "[DONE]") continue;
    const Json chunk = Json::parse(event);
    for (const Json& choice : chunk["choices"]) {
      if (choice["logprobs"].is_null()) continue;
      for (const Json& token : choice["logprobs"]["tokens"]) tokens.push_back(token);
    }
  }
  EXPECT_EQ(tokens.size(), num_prompt + 1);
}

/// lm-eval scores a text by windows that overlap by a token, several in a request.
TEST_F(ScoringTest, ScoredWindowsGiveThePerplexity) {
  constexpr std::size_t kScored = 32;  ///< tokens of a window
  std::string text;
  for (const char* name : {"miller", "weaver", "king", "fox", "witch", "shepherd"}) {
    text += std::string("There was once a ") + name + " who had three sons, and the youngest of " +
            "them went out into the wide world to seek his fortune. ";
  }
  const Json ids = gpt2_->post("/tokenize", Json({{"content", text}}).dump()).json()["tokens"];
  ASSERT_GT(ids.size(), 4 * kScored);
  double nll = 0;
  std::size_t num_scored = 0;
  for (const int max_tokens : {0, 1}) {
    nll = 0;
    num_scored = 0;
    Json windows = Json::array();
    for (std::size_t begin = 0; begin + 1 < ids.size(); begin += kScored) {
      const std::size_t end = std::min(begin + kScored + 1, ids.size());
      windows.push_back(Json(std::vector<int>(ids.begin() + std::ptrdiff_t(begin),
                                              ids.begin() + std::ptrdiff_t(end))));
    }
    const RawAnswer answer = gpt2_->post("/v1/completions", Json({{"prompt", windows},
                                                                  {"max_tokens", max_tokens},
                                                                  {"temperature", 0},
                                                                  {"logprobs", 1},
                                                                  {"echo", true},
                                                                  {"seed", 1234}})
                                                                .dump());
    ASSERT_EQ(answer.status, 200) << answer.body;
    const Json json = answer.json();
    ASSERT_EQ(json["choices"].size(), windows.size());
    for (std::size_t w = 0; w < windows.size(); ++w) {
      const Json& logprobs = json["choices"][w]["logprobs"]["token_logprobs"];
      ASSERT_EQ(logprobs.size(), windows[w].size() + std::size_t(max_tokens));
      for (std::size_t i = 1; i < windows[w].size(); ++i, ++num_scored) {
        nll -= logprobs[i].get<double>();
      }
    }
    EXPECT_EQ(json["usage"]["completion_tokens"], std::size_t(max_tokens) * windows.size());
    EXPECT_EQ(json["choices"][0]["finish_reason"], "length");
  }
  const TempFolder folder;
  const std::string file = (folder.path() / "text.txt").string();
  write_file(file, text);
  const ChildResult result = run_quern(
      {"perplexity", "-m", TestServer::folder("tale-gpt2"), "--file", file, "--device", "cpu",
       "--window", std::to_string(kScored + 1), "--stride", std::to_string(kScored), "--json"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  const Json expected = Json::parse(result.out);
  EXPECT_EQ(expected["num_scored"], num_scored);
  // JSON has float32's shortest digits.
  EXPECT_NEAR(nll / double(num_scored), expected["mean_nll"].get<double>(), 1e-6);
}

TEST_F(ScoringTest, WithoutNewTokensThereIsOnlyThePrompt) {
  Json body = {{"prompt", "The king"}, {"max_tokens", 0}, {"echo", true}};
  Json json = gpt2_->post("/v1/completions", body.dump()).json();
  EXPECT_EQ(json["choices"][0]["text"], "The king");
  EXPECT_EQ(json["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(json["usage"]["completion_tokens"], 0);
  body["echo"] = false;
  json = gpt2_->post("/v1/completions", body.dump()).json();
  EXPECT_EQ(json["choices"][0]["text"], "");
  body["stream"] = true;
  const std::vector<std::string> events = gpt2_->post("/v1/completions", body.dump()).events();
  ASSERT_EQ(events.size(), 2);
  EXPECT_EQ(Json::parse(events[0])["choices"][0]["finish_reason"], "length");
}

}  // namespace
}  // namespace quern::testing
