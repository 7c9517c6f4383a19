#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "quern/engine.h"
#include "tests/tools/server/server_fixture.h"

// What answers say, whole and streamed.

namespace quern::testing {
namespace {

using Json = nlohmann::ordered_json;
using CompletionsTest = ServerTest;
using ChatCompletionsTest = ServerTest;

/// The texts of a stream by choice; checks what holds for every stream.
std::map<int, std::string> stream_texts(const RawAnswer& answer, bool chat) {
  EXPECT_EQ(answer.status, 200) << answer.body;
  EXPECT_TRUE(answer.complete);
  EXPECT_TRUE(answer.has("Content-Type: text/event-stream"));
  std::map<int, std::string> texts;
  std::map<int, int> num_roles;
  std::map<int, bool> ended;
  const std::vector<std::string> events = answer.events();
  EXPECT_EQ(events.back(), "[DONE]");
  const Json first = Json::parse(events.front());
  for (std::size_t i = 0; i + 1 < events.size(); ++i) {
    const Json chunk = Json::parse(events[i]);
    for (const char* key : {"id", "created", "model", "object"}) {
      EXPECT_EQ(chunk[key], first[key]) << events[i];
    }
    for (const Json& choice : chunk["choices"]) {
      const int index = choice["index"];
      EXPECT_FALSE(ended[index]) << events[i];
      if (chat) {
        const Json& delta = choice["delta"];
        EXPECT_EQ(delta.contains("role"), num_roles[index]++ == 0) << events[i];
        const bool has_text = delta.contains("content") && !delta["content"].is_null();
        if (has_text) texts[index] += delta["content"].get<std::string>();
        EXPECT_TRUE(has_text || delta.contains("role") || delta.empty()) << events[i];
      } else {
        texts[index] += choice["text"].get<std::string>();
      }
      if (!choice["finish_reason"].is_null()) ended[index] = true;
    }
  }
  for (const auto& [index, text] : texts) EXPECT_TRUE(ended[index]) << index;
  return texts;
}

TEST_F(CompletionsTest, GreedyTextIsTheEngines) {
  EngineOptions options;
  options.device = DeviceChoice::cpu;
  Engine engine = Engine::load(TestServer::folder("tale-gpt2"), options);
  Request request;
  request.prompt = "The king had three sons.";
  request.sampling.greedy = true;
  request.max_new_tokens = 60;
  const Result expected = engine.generate(request);
  const std::string body =
      R"({"prompt": "The king had three sons.", "max_tokens": 60, "temperature": 0)";
  const Json json = gpt2_->post("/v1/completions", body + "}").json();
  EXPECT_EQ(json["object"], "text_completion");
  EXPECT_EQ(json["model"], "tale-gpt2");
  EXPECT_EQ(json["choices"][0]["text"], expected.text);
  EXPECT_EQ(json["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(json["usage"]["prompt_tokens"], expected.prompt_ids.size());
  EXPECT_EQ(json["usage"]["completion_tokens"], 60);
  EXPECT_EQ(json["usage"]["total_tokens"], expected.prompt_ids.size() + 60);
  const RawAnswer streamed = gpt2_->post("/v1/completions", body + R"(, "stream": true})");
  EXPECT_EQ(stream_texts(streamed, false)[0], expected.text);
  // The second time the prompt comes from the cache, where it has a full block.
  EXPECT_TRUE(json["usage"]["prompt_tokens_details"]["cached_tokens"].is_number());
}

TEST_F(CompletionsTest, TakesEveryFormOfPrompt) {
  const auto ids = gpt2_->post("/tokenize", R"({"prompt": "Once upon a time"})").json()["tokens"];
  const auto texts = [&](const std::string& prompt) {
    const RawAnswer answer = gpt2_->post(
        "/v1/completions", R"({"max_tokens": 8, "temperature": 0, "prompt": )" + prompt + "}");
    EXPECT_EQ(answer.status, 200) << answer.body;
    std::vector<std::string> found;
    const Json json = answer.json();
    for (const Json& choice : json["choices"]) {
      EXPECT_EQ(choice["index"], found.size());
      found.push_back(choice["text"]);
    }
    return found;
  };
  const auto one = texts("\"Once upon a time\"");
  const auto other = texts("\"The fox\"");
  EXPECT_EQ(texts(ids.dump()), one);
  EXPECT_EQ(texts("[\"Once upon a time\", \"The fox\"]"),
            (std::vector<std::string>{one[0], other[0]}));
  EXPECT_EQ(texts("[" + ids.dump() + "]"), one);
}

TEST_F(CompletionsTest, NumbersSeveralAnswersThrough) {
  const std::string body =
      R"({"prompt": ["The fox", "A king"], "n": 3, "seed": 5, "max_tokens": 6)";
  const Json whole = gpt2_->post("/v1/completions", body + "}").json();
  ASSERT_EQ(whole["choices"].size(), 6);
  auto streamed =
      stream_texts(gpt2_->post("/v1/completions", body + R"(, "stream": true})"), false);
  ASSERT_EQ(streamed.size(), 6);
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(whole["choices"][i]["index"], i);
    EXPECT_EQ(whole["choices"][i]["text"], streamed[i]) << i;
  }
  EXPECT_NE(whole["choices"][0]["text"], whole["choices"][1]["text"]);
}

TEST_F(CompletionsTest, GivesLogprobsEchoesAndIds) {
  const Json json = gpt2_
                        ->post("/v1/completions",
                               R"({"prompt": "The fox", "max_tokens": 4, "temperature": 0,
                                   "logprobs": 2, "return_token_ids": true})")
                        .json();
  const Json& choice = json["choices"][0];
  EXPECT_EQ(choice["logprobs"]["tokens"].size(), 4);
  EXPECT_EQ(choice["logprobs"]["token_logprobs"].size(), 4);
  EXPECT_EQ(choice["logprobs"]["top_logprobs"][0].size(), 2);  // greedy: the chosen is the best
  EXPECT_EQ(choice["logprobs"]["text_offset"][0], 0);
  EXPECT_EQ(choice["token_ids"].size(), 4);
  std::string text;
  for (const Json& token : choice["logprobs"]["tokens"]) text += token.get<std::string>();
  EXPECT_EQ(text, choice["text"].get<std::string>());
  const Json echoed =
      gpt2_
          ->post("/v1/completions",
                 R"({"prompt": "The fox", "max_tokens": 4, "temperature": 0, "echo": true})")
          .json();
  EXPECT_EQ(echoed["choices"][0]["text"], "The fox" + text);
}

TEST_F(CompletionsTest, StopsWhereAsked) {
  const auto choice = [&](const std::string& more) {
    return gpt2_
        ->post("/v1/completions", R"({"prompt": "The king had three sons.", "max_tokens": 60,
                                      "temperature": 0)" +
                                      more + "}")
        .json()["choices"][0];
  };
  const std::string all = choice("")["text"];
  const Json stopped = choice(R"(, "stop": ["king", "no such text"])");
  EXPECT_EQ(stopped["finish_reason"], "stop");
  EXPECT_EQ(stopped["text"], all.substr(0, all.find("king")));
  const Json biased = choice(R"(, "logit_bias": {"13": -100}, "seed": 3)");
  EXPECT_NE(biased["text"], all);
}

TEST_F(CompletionsTest, PutsUsageBehindAStreamWhereAsked) {
  const std::string body = R"({"prompt": "The fox", "max_tokens": 5, "stream": true)";
  const auto plain = gpt2_->post("/v1/completions", body + "}").events();
  for (std::size_t i = 0; i + 1 < plain.size(); ++i) {
    EXPECT_FALSE(Json::parse(plain[i]).contains("usage")) << plain[i];
  }
  const auto events =
      gpt2_->post("/v1/completions", body + R"(, "stream_options": {"include_usage": true}})")
          .events();
  for (std::size_t i = 0; i + 2 < events.size(); ++i) {
    EXPECT_TRUE(Json::parse(events[i]).at("usage").is_null()) << events[i];
  }
  const Json last = Json::parse(events[events.size() - 2]);
  EXPECT_TRUE(last["choices"].empty());
  EXPECT_EQ(last["usage"]["completion_tokens"], 5);
}

TEST_F(ChatCompletionsTest, AnswersInTheFormOfChats) {
  const std::string body = R"({"model": "tale-qwen2", "messages": [
      {"role": "system", "content": "You are a storyteller."},
      {"role": "user", "content": [{"type": "text", "text": "Tell me of a fox."}]}],
      "temperature": 0, "max_tokens": 24)";
  const Json json = qwen2_->post("/v1/chat/completions", body + "}").json();
  EXPECT_EQ(json["object"], "chat.completion");
  EXPECT_EQ(json["choices"][0]["message"]["role"], "assistant");
  EXPECT_EQ(json["usage"]["completion_tokens"], 24);
  auto streamed =
      stream_texts(qwen2_->post("/v1/chat/completions", body + R"(, "stream": true})"), true);
  EXPECT_EQ(json["choices"][0]["message"]["content"], streamed[0]);
  const Json with_logprobs =
      qwen2_->post("/v1/chat/completions", body + R"(, "logprobs": true, "top_logprobs": 3})")
          .json();
  const Json& content = with_logprobs["choices"][0]["logprobs"]["content"];
  ASSERT_EQ(content.size(), 24);
  EXPECT_EQ(content[0]["top_logprobs"].size(), 3);
  EXPECT_EQ(content[0]["token"], content[0]["top_logprobs"][0]["token"]);
}

TEST_F(ChatCompletionsTest, StreamsEveryChoice) {
  const std::string body = R"({"messages": [{"role": "user", "content": "Tell me of a fox."}],
      "n": 3, "seed": 1, "max_tokens": 12)";
  const Json whole = qwen2_->post("/v1/chat/completions", body + "}").json();
  auto streamed =
      stream_texts(qwen2_->post("/v1/chat/completions", body + R"(, "stream": true})"), true);
  ASSERT_EQ(streamed.size(), 3);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(whole["choices"][i]["message"]["content"], streamed[i]) << i;
  }
}

TEST_F(ChatCompletionsTest, GoesOnWithTheLastMessage) {
  const auto ids = [&](const std::string& more) {
    return qwen2_
        ->post("/v1/chat/completions", R"({"messages": [{"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Once upon"}], "max_tokens": 1,
            "return_token_ids": true)" + more +
                                           "}")
        .json()["choices"][0]["prompt_token_ids"];
  };
  const Json continued = ids(R"(, "continue_final_message": true)");
  const RawAnswer text = qwen2_->post("/detokenize", R"({"tokens": )" + continued.dump() + "}");
  EXPECT_TRUE(text.json()["prompt"].get<std::string>().ends_with("assistant\nOnce upon"))
      << text.body;
  EXPECT_GT(ids("").size(), continued.size());
}

TEST_F(ChatCompletionsTest, WithoutALimitRunsToTheEndOfTheContext) {
  EngineOptions engine;
  engine.max_seq_len = 64;
  TestServer server("tale-qwen2", {}, {}, engine);
  server.wait_until_ready();
  const Json json = server
                        .post("/v1/chat/completions",
                              R"({"messages": [{"role": "user", "content": "Hello"}],
                                  "ignore_eos": true})")
                        .json();
  EXPECT_EQ(json["choices"][0]["finish_reason"], "length");
  EXPECT_GE(json["usage"]["total_tokens"], 64);
}

TEST_F(CompletionsTest, TokenizesAndBack) {
  const Json vllm =
      gpt2_->post("/tokenize", R"({"prompt": "three sons", "return_token_strs": true})").json();
  EXPECT_EQ(vllm["count"], vllm["tokens"].size());
  EXPECT_EQ(vllm["token_strs"].size(), vllm["tokens"].size());
  const Json pieces =
      gpt2_->post("/tokenize", R"({"content": "three sons", "with_pieces": true})").json();
  EXPECT_EQ(pieces["tokens"][0]["id"], vllm["tokens"][0]);
  const RawAnswer back = gpt2_->post("/detokenize", R"({"tokens": )" + vllm["tokens"].dump() + "}");
  EXPECT_EQ(back.json()["content"], "three sons");
  const Json chat =
      qwen2_->post("/tokenize", R"({"messages": [{"role": "user", "content": "a"}]})").json();
  EXPECT_GT(chat["count"].get<int>(), 5);
}

TEST_F(ChatCompletionsTest, ShowsWhatTheTemplateMakes) {
  Json body = {{"messages", {{{"role", "user"}, {"content", "Hello"}}}}};
  const Json open = qwen2_->post("/apply-template", body.dump()).json();
  body["add_generation_prompt"] = false;
  const Json closed = qwen2_->post("/apply-template", body.dump()).json();
  const std::string text = closed["prompt"];
  EXPECT_NE(text.find("<|im_start|>user\nHello<|im_end|>"), std::string::npos) << text;
  EXPECT_EQ(open["prompt"], text + "<|im_start|>assistant\n");
  body["tools"] = {{{"type", "function"}}};
  expect_refused(qwen2_->post("/apply-template", body.dump()), "tools", "not served");
  expect_refused(
      gpt2_->post("/apply-template", R"({"messages": [{"role": "user", "content": "a"}]})"),
      "messages", "no chat");
  expect_refused(qwen2_->post("/apply-template", R"({"messages": [], "x": 1})"), "messages",
                 "list of messages");
}

TEST_F(CompletionsTest, ListsTheModelUnderAllItsNames) {
  tools::ServerOptions options;
  options.model_names = {"tales", "org/tales"};
  TestServer server("tale-gpt2", options);
  server.wait_until_ready();
  const Json list = server.ask("GET", "/v1/models").json();
  ASSERT_EQ(list["data"].size(), 3);
  EXPECT_EQ(list["data"][0]["id"], "tale-gpt2");
  EXPECT_EQ(server.ask("GET", "/v1/models/org/tales").json()["root"], "tale-gpt2");
  EXPECT_EQ(server.ask("GET", "/v1/models/none").status, 404);
  EXPECT_EQ(
      server.post("/v1/completions", R"({"model": "org/tales", "prompt": "a", "max_tokens": 1})")
          .json()["model"],
      "org/tales");
}

TEST_F(CompletionsTest, DescribesItself) {
  const Json document = gpt2_->ask("GET", "/openapi.json").json();
  for (const auto& [path, methods] : document["paths"].items()) {
    for (const auto& [method, what] : methods.items()) {
      const bool post = method == "post";
      const std::string route = path == "/v1/models/{model}" ? "/v1/models/tale-gpt2" : path;
      const RawAnswer answer = post ? gpt2_->post(route, "{}") : gpt2_->ask("GET", route);
      EXPECT_EQ(answer.status, post ? 400 : 200) << path;
    }
  }
}

}  // namespace
}  // namespace quern::testing
