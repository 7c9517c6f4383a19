#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/tools/server/server_fixture.h"

// Errors, clients that leave, full queues, shutdown.

namespace quern::testing {
namespace {

using ApiErrorsTest = ServerTest;

constexpr const char* kLong =
    R"({"prompt": "The king", "max_tokens": 900, "ignore_eos": true, "temperature": 0)";

/// A server whose engine has one row, so that a second request waits.
std::unique_ptr<TestServer> narrow_server(std::size_t max_queue = 1024) {
  EngineOptions engine;
  engine.max_seqs = 1;
  ServiceOptions service;
  service.max_queue = max_queue;
  auto server = std::make_unique<TestServer>("tale-gpt2", tools::ServerOptions(), service, engine);
  server->wait_until_ready();
  return server;
}

TEST_F(ApiErrorsTest, NameTheField) {
  const auto refused = [&](const std::string& body) {
    return gpt2_->post("/v1/completions", body);
  };
  expect_refused(refused(R"({"prompt": ""})"), "prompt", "empty");
  expect_refused(refused(R"({})"), "prompt", "missing");
  expect_refused(refused(R"({"prompt": [99999999]})"), "prompt", "vocabulary");
  expect_refused(refused(R"({"prompt": "a", "seed": 18446744073709551615})"), "seed", "integer");
  expect_refused(refused(R"({"prompt": "a", "logprobs": 99})"), "logprobs", "20");
  std::string ids = "[1";
  for (int i = 0; i < 3000; ++i) ids += ",1";
  const RawAnswer beyond = refused(R"({"prompt": )" + ids + "]}");
  expect_refused(beyond, "prompt", "3001");
  EXPECT_EQ(beyond.error("code"), "context_length_exceeded");
  EXPECT_NE(beyond.error("message").find("1024"), std::string::npos) << beyond.body;
  std::string words;
  for (int i = 0; i < 3000; ++i) words += "king ";
  expect_refused(refused(R"({"prompt": ")" + words + "\"}"), "prompt", "1024");
}

TEST_F(ApiErrorsTest, BodiesThatAreNoObjectsAreNever500) {
  for (const char* path : {"/v1/completions", "/v1/chat/completions", "/tokenize", "/detokenize"}) {
    for (const std::string& body :
         {std::string(), std::string("null"), std::string("[]"), std::string("3"),
          std::string("\"a\""), std::string("{"), std::string(50000, '['),
          std::string("{\"prompt\": \"\xc3\x28\"}"), std::string("{\"messages\": {}}")}) {
      const RawAnswer answer = gpt2_->post(path, body);
      EXPECT_EQ(answer.status, 400) << path << body.substr(0, 20);
      EXPECT_EQ(answer.error("type"), "invalid_request_error");
    }
  }
}

TEST_F(ApiErrorsTest, BodiesHaveBounds) {
  const auto body = [](const std::string& metadata) {
    return R"({"prompt": "a", "max_tokens": 1, "metadata": )" + metadata + "}";
  };
  const auto nested = [&](std::size_t levels) {
    return body(std::string(levels, '[') + std::string(levels, ']'));
  };
  const auto with_keys = [&](int count) {
    std::string keys;
    for (int i = 0; i < count; ++i) keys += (i > 0 ? ",\"k" : "\"k") + std::to_string(i) + "\":0";
    return body("{" + keys + "}");
  };
  const auto status = [&](const std::string& text) {
    return gpt2_->post("/v1/completions", text).status;
  };
  EXPECT_EQ(status(nested(99)), 200);
  EXPECT_EQ(status(nested(100)), 400);
  EXPECT_EQ(status(nested(1'000'000)), 400);
  EXPECT_EQ(status(with_keys(4096)), 200);
  EXPECT_EQ(status(with_keys(4097)), 400);
}

TEST_F(ApiErrorsTest, UnknownModelsAre404) {
  const RawAnswer answer = gpt2_->post("/v1/completions", R"({"prompt": "a", "model": "gpt-4"})");
  EXPECT_EQ(answer.status, 404);
  EXPECT_EQ(answer.error("code"), "model_not_found");
  EXPECT_EQ(answer.error("param"), "model");
}

TEST_F(ApiErrorsTest, ModelsWithoutATemplateTakeNoChats) {
  const RawAnswer answer =
      gpt2_->post("/v1/chat/completions", R"({"messages": [{"role": "user", "content": "a"}]})");
  expect_refused(answer, "messages", "no chat");
  EXPECT_EQ(answer.body.find(QUERN_SOURCE_DIR), std::string::npos) << answer.body;
}

TEST(ApiStatesTest, AFullQueueIs429) {
  const auto server = narrow_server(0);
  RawClient first(server->port());
  first.send(request_text("POST", "/v1/completions", std::string(kLong) + R"(, "stream": true})"));
  ASSERT_TRUE(first.wait_for("data: "));
  // A place in the queue is given while the engine is between steps.
  RawAnswer answer;
  for (int i = 0; i < 3 && answer.status != 429; ++i) {
    answer = server->post("/v1/completions", R"({"prompt": "a", "max_tokens": 1})");
  }
  EXPECT_EQ(answer.status, 429) << answer.body;
  EXPECT_TRUE(answer.has("Retry-After: "));
  EXPECT_EQ(answer.error("code"), "queue_full");
  EXPECT_EQ(answer.error("type"), "rate_limit_error");
}

TEST(ApiStatesTest, ClientsThatLeaveEndTheirRequests) {
  const auto server = narrow_server();
  const std::string streamed =
      request_text("POST", "/v1/completions", std::string(kLong) + R"(, "stream": true})");
  const std::string whole = request_text("POST", "/v1/completions", std::string(kLong) + "}");
  auto running = std::make_unique<RawClient>(server->port());
  running->send(streamed);
  ASSERT_TRUE(running->wait_for("data: "));
  std::vector<std::unique_ptr<RawClient>> waiting;
  for (const std::string& text : {streamed, whole, whole}) {
    waiting.push_back(std::make_unique<RawClient>(server->port()));
    waiting.back()->send(text);
  }
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(5);
  while (server->service().metrics().num_waiting < 3 && std::chrono::steady_clock::now() < limit) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  ASSERT_EQ(server->service().metrics().num_waiting, 3);
  waiting.clear();  // while they are queued
  running.reset();
  const auto left = std::chrono::steady_clock::now();
  EXPECT_TRUE(server->becomes_idle());
  EXPECT_LT(std::chrono::steady_clock::now() - left, std::chrono::seconds(2));
  const ServiceMetrics metrics = server->service().metrics();
  EXPECT_EQ(metrics.finished.at(static_cast<std::size_t>(FinishReason::cancelled)), 4);
  EXPECT_EQ(metrics.kv_cache_usage, 0.0);
  const RawAnswer answer = server->post("/v1/completions", R"({"prompt": "a", "max_tokens": 2})");
  EXPECT_EQ(answer.status, 200);
}

TEST(ApiStatesTest, DrainingFinishesWhatRunsAndRefusesTheRest) {
  const auto server = narrow_server();
  RawClient first(server->port());
  first.send(request_text("POST", "/v1/completions", std::string(kLong) + R"(, "stream": true})"));
  ASSERT_TRUE(first.wait_for("data: "));
  std::thread drainer([&] { server->service().drain(std::chrono::milliseconds(300)); });
  while (server->service().state() == ServiceState::ready) std::this_thread::yield();
  const RawAnswer refused = server->post("/v1/completions", R"({"prompt": "a"})");
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(server->ask("GET", "/health").status, 503);
  const RawAnswer answer = first.read();
  drainer.join();
  EXPECT_TRUE(answer.complete);
  const auto events = answer.events();
  ASSERT_GE(events.size(), 2);
  EXPECT_EQ(events.back(), "[DONE]");
  const auto last = nlohmann::ordered_json::parse(events[events.size() - 2]);
  // A fast machine may be done before the time is over.
  EXPECT_TRUE(last["choices"][0]["finish_reason"] == "abort" ||
              last["choices"][0]["finish_reason"] == "length")
      << last;
}

TEST(ApiStatesTest, MetricsCountExactly) {
  TestServer server("tale-gpt2");
  server.wait_until_ready();
  for (int i = 0; i < 10; ++i) {
    ASSERT_EQ(server
                  .post("/v1/completions",
                        R"({"prompt": [1, 2, 3], "max_tokens": 4, "ignore_eos": true})")
                  .status,
              200);
  }
  ASSERT_TRUE(server.becomes_idle());
  const RawAnswer answer = server.ask("GET", "/metrics");
  EXPECT_TRUE(answer.has("Content-Type: text/plain; version=0.0.4"));
  const std::string label = "{model_name=\"tale-gpt2\"";
  for (const std::string& line : {
           "quern:prompt_tokens_total" + label + "} 30\n",
           "quern:generation_tokens_total" + label + "} 40\n",
           "quern:request_success_total" + label + ",finished_reason=\"length\"} 10\n",
           "quern:e2e_request_latency_seconds_count" + label + "} 10\n",
           "quern:time_to_first_token_seconds_count" + label + "} 10\n",
           "quern:num_requests_running" + label + "} 0\n",
           "quern:num_requests_waiting" + label + "} 0\n",
           "quern:kv_cache_usage_perc" + label + "} 0\n",
       }) {
    EXPECT_NE(answer.body.find(line), std::string::npos) << line << answer.body;
  }
}

}  // namespace
}  // namespace quern::testing
