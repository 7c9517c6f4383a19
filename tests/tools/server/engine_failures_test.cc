#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>
#include <vector>

#include "tests/serve/device_fault.h"
#include "tests/support/changed_model.h"
#include "tests/tools/server/server_fixture.h"

// What clients see when the engine fails: on one request, in the middle of a stream, altogether.

namespace quern::testing {
namespace {

using Json = nlohmann::ordered_json;

std::string completion(const std::string& prompt, bool stream, int max_tokens = 30) {
  return R"({"prompt": )" + prompt + R"(, "temperature": 0, "ignore_eos": true, "stream": )" +
         (stream ? "true" : "false") + R"(, "return_token_ids": true, "max_tokens": )" +
         std::to_string(max_tokens) + "}";
}

/// The tokens that tale-llama chooses first.
std::vector<std::int32_t> greedy_tokens() {
  TestServer server("tale-llama");
  server.wait_until_ready();
  const RawAnswer answer = server.post("/v1/completions", completion(R"("The king")", false));
  EXPECT_EQ(answer.status, 200) << answer.body;
  return answer.json()["choices"][0]["token_ids"].get<std::vector<std::int32_t>>();
}

/// The place of the first token that is none of those before, from the third on.
std::size_t new_token_after_some(const std::vector<std::int32_t>& ids) {
  std::size_t place = 3;
  while (std::count(ids.begin(), ids.begin() + std::ptrdiff_t(place), ids.at(place)) > 0) ++place;
  return place;
}

TEST(EngineFailuresTest, AFailedRequestIs500AndOthersGoOn) {
  const PoisonedModel model;
  TestServer server(model.folder());
  server.wait_until_ready();
  RawClient good(server.port());
  good.send(
      request_text("POST", "/v1/completions", completion(R"("Once upon a time")", true, 200)));
  ASSERT_TRUE(good.wait_for("data: "));
  const std::string poisoned = "[1, 300, " + std::to_string(PoisonedModel::kPoison) + ", 400]";
  for (const bool stream : {false, true}) {  // before its first event a stream is as any answer
    const RawAnswer bad = server.post("/v1/completions", completion(poisoned, stream));
    EXPECT_EQ(bad.status, 500) << bad.body;
    EXPECT_EQ(bad.error("type"), "server_error");
    EXPECT_EQ(bad.error("code"), "generation_failed");
    EXPECT_EQ(bad.error("param"), "null");
    EXPECT_NE(bad.error("message").find("non-finite"), std::string::npos) << bad.body;
    EXPECT_TRUE(bad.has("X-Request-Id: "));
    EXPECT_EQ(bad.body.find(model.folder()), std::string::npos);
  }
  const RawAnswer answer = good.read();
  EXPECT_TRUE(answer.complete);
  EXPECT_EQ(answer.events().back(), "[DONE]");
  EXPECT_EQ(answer.body.find("\"error\""), std::string::npos);
  EXPECT_EQ(server.ask("GET", "/health").status, 200);
  EXPECT_TRUE(server.becomes_idle());
}

TEST(EngineFailuresTest, AStreamThatFailsEndsWithAnErrorEvent) {
  const std::vector<std::int32_t> ids = greedy_tokens();
  const std::size_t place = new_token_after_some(ids);
  const PoisonedModel model(ids.at(place));
  TestServer server(model.folder());
  server.wait_until_ready();
  RawClient client(server.port());
  client.send(request_text("POST", "/v1/completions", completion(R"("The king")", true)));
  const RawAnswer answer = client.read();
  EXPECT_EQ(answer.status, 200);
  EXPECT_TRUE(answer.complete);
  const std::vector<std::string> events = answer.events();
  ASSERT_GE(events.size(), 3);
  EXPECT_EQ(events.back(), "[DONE]");
  const Json error = Json::parse(events[events.size() - 2])["error"];
  EXPECT_NE(error["message"].get<std::string>().find("non-finite"), std::string::npos) << error;
  EXPECT_EQ(error["type"], "server_error");
  EXPECT_EQ(error["code"], "generation_failed");
  std::vector<std::int32_t> streamed;
  for (std::size_t i = 0; i + 2 < events.size(); ++i) {
    const Json choice = Json::parse(events[i])["choices"][0];
    EXPECT_TRUE(choice["finish_reason"].is_null()) << choice;
    for (const Json& id : choice.value("token_ids", Json::array())) streamed.push_back(id);
  }
  // The token itself is chosen by good logits; those behind it are not.
  EXPECT_EQ(streamed, std::vector(ids.begin(), ids.begin() + std::ptrdiff_t(place) + 1));
  // The connection goes on.
  client.send(request_text("GET", "/health"));
  EXPECT_EQ(client.read().status, 200);
}

TEST(EngineFailuresTest, ALostDeviceEndsAllAndIs503FromThenOn) {
  EngineOptions options;
  options.max_seqs = 1;
  TestServer server("tale-gpt2", {}, {}, options);
  server.wait_until_ready();
  RawClient running(server.port());
  running.send(request_text("POST", "/v1/completions", completion(R"("The king")", true, 900)));
  ASSERT_TRUE(running.wait_for("data: "));
  RawClient waiting(server.port());
  waiting.send(request_text("POST", "/v1/completions", completion(R"("A queen")", false, 900)));
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  while (server.service().metrics().num_waiting < 1 && std::chrono::steady_clock::now() < limit) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  const LostDevice fault(5);
  const RawAnswer stream = running.read();
  EXPECT_TRUE(stream.complete);
  const std::vector<std::string> events = stream.events();
  ASSERT_GE(events.size(), 3);
  EXPECT_EQ(events.back(), "[DONE]");
  EXPECT_TRUE(Json::parse(events[events.size() - 2]).contains("error"));
  const RawAnswer whole = waiting.read();
  EXPECT_EQ(whole.status, 500) << whole.body;
  EXPECT_EQ(whole.error("code"), "generation_failed");
  for (const char* path : {"/health", "/v1/models"}) {
    const RawAnswer answer = server.ask("GET", path);
    EXPECT_EQ(answer.status, 503) << path;
    EXPECT_EQ(answer.error("code"), "failed");
    EXPECT_EQ(answer.error("type"), "unavailable_error");
  }
  EXPECT_EQ(server.post("/v1/completions", R"({"prompt": "a"})").status, 503);
  const RawAnswer metrics = server.ask("GET", "/metrics");
  EXPECT_EQ(metrics.status, 200);
  EXPECT_NE(metrics.body.find("num_requests_running{model_name=\"tale-gpt2\"} 0\n"),
            std::string::npos);
}

TEST(EngineFailuresTest, LoadingIs503) {
  std::promise<void> gate;
  const std::shared_future<void> opened = gate.get_future().share();
  EngineOptions options;
  options.on_load = [opened](const LoadProgress&) { opened.wait(); };
  TestServer server("tale-gpt2", {}, {}, options);
  for (const char* path : {"/health", "/v1/models"}) {
    const RawAnswer answer = server.ask("GET", path);
    EXPECT_EQ(answer.status, 503) << path;
    EXPECT_EQ(answer.error("code"), "loading");
    EXPECT_TRUE(answer.has("Retry-After: "));
  }
  for (const char* path : {"/v1/completions", "/v1/chat/completions", "/tokenize", "/detokenize"}) {
    EXPECT_EQ(server.post(path, R"({"prompt": "a"})").status, 503) << path;
  }
  EXPECT_EQ(server.ask("GET", "/metrics").status, 200);
  gate.set_value();
  server.wait_until_ready();
  EXPECT_EQ(server.ask("GET", "/health").status, 200);
}

}  // namespace
}  // namespace quern::testing
