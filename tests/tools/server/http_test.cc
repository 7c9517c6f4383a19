#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <fstream>
#include <string>

#include "quern/error.h"
#include "tests/support/test_files.h"
#include "tests/tools/server/server_fixture.h"

// The transport: what is no request, what is too large or too slow, many requests and connections.

namespace quern::testing {
namespace {

using HttpTest = ServerTest;

TEST_F(HttpTest, RoutesMethodsAndPaths) {
  EXPECT_EQ(gpt2_->ask("GET", "/health").json()["status"], "ok");
  EXPECT_EQ(gpt2_->ask("GET", "/health?x=1").status, 200);
  const RawAnswer unknown = gpt2_->ask("GET", "/v2/models");
  EXPECT_EQ(unknown.status, 404);
  EXPECT_EQ(unknown.error("code"), "not_found");
  const RawAnswer wrong = gpt2_->ask("GET", "/v1/completions");
  EXPECT_EQ(wrong.status, 405);
  EXPECT_TRUE(wrong.has("Allow: POST, OPTIONS\r\n")) << wrong.head;
  EXPECT_EQ(gpt2_->ask("DELETE", "/v1/models").status, 405);
  const RawAnswer head = gpt2_->ask("HEAD", "/v1/models");
  EXPECT_EQ(head.status, 200);
  EXPECT_FALSE(head.has("Content-Length: 0\r\n")) << head.head;
  const RawAnswer options = gpt2_->ask("OPTIONS", "/v1/models");
  EXPECT_EQ(options.status, 200);
  EXPECT_TRUE(options.has("Allow: GET, HEAD, OPTIONS\r\n")) << options.head;
}

TEST_F(HttpTest, RefusesWhatIsNoRequestAndGoesOn) {
  struct Case {
    std::string bytes;
    int status;
  };
  const std::string head = "POST /v1/completions HTTP/1.1\r\nHost: a\r\n";
  const std::vector<Case> cases = {
      {"GARBAGE\r\n\r\n", 400},
      {"GET / HTTP/9.9\r\n\r\n", 400},
      {head + "Content-Length: x\r\n\r\n", 400},
      {head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400},
      {head + "X-Long: " + std::string(20000, 'x') + "\r\n\r\n", 431},
      {"GET /" + std::string(20000, 'x') + " HTTP/1.1\r\n\r\n", 431},
      {head + "Content-Length: 99999999999\r\n\r\n", 413},
      {head + "Transfer-Encoding: chunked\r\n\r\nfffffff\r\n", 413},
  };
  for (const Case& each : cases) {
    RawClient client(gpt2_->port());
    client.send(each.bytes);
    const RawAnswer answer = client.read();
    EXPECT_EQ(answer.status, each.status) << each.bytes.substr(0, 80) << answer.head;
    EXPECT_NE(answer.error("message"), "") << answer.body;
    EXPECT_TRUE(answer.has("Connection: close\r\n"));
    client.close();
  }
  EXPECT_EQ(gpt2_->ask("GET", "/health").status, 200);
}

TEST_F(HttpTest, AnswersPipelinedRequestsInOrder) {
  RawClient client(gpt2_->port());
  const std::string body = R"({"prompt": "The king", "max_tokens": 4, "temperature": 0})";
  client.send(request_text("POST", "/v1/completions", body) + request_text("GET", "/version") +
              request_text("HEAD", "/health") + request_text("GET", "/nowhere") +
              request_text("GET", "/health"));
  EXPECT_EQ(client.read().json()["object"], "text_completion");
  EXPECT_TRUE(client.read().json().contains("version"));
  EXPECT_EQ(client.read(true).status, 200);
  EXPECT_EQ(client.read().status, 404);
  EXPECT_EQ(client.read().json()["status"], "ok");
}

TEST_F(HttpTest, KeepsConnectionsAsAsked) {
  RawClient old(gpt2_->port());
  old.send("GET /health HTTP/1.0\r\n\r\n");
  EXPECT_EQ(old.read().status, 200);
  EXPECT_TRUE(old.wait_for_end());
  RawClient closing(gpt2_->port());
  closing.send(request_text("GET", "/health", "", "Connection: close\r\n"));
  EXPECT_EQ(closing.read().status, 200);
  EXPECT_TRUE(closing.wait_for_end());
  // Without chunks a stream ends with its connection.
  RawClient stream(gpt2_->port());
  const std::string body = R"({"prompt": "The king", "max_tokens": 4, "stream": true})";
  stream.send("POST /v1/completions HTTP/1.0\r\nContent-Length: " + std::to_string(body.size()) +
              "\r\n\r\n" + body);
  EXPECT_EQ(stream.read().events().back(), "[DONE]");
}

TEST_F(HttpTest, TakesChunkedBodiesAndExpectations) {
  RawClient client(gpt2_->port());
  const std::string body = R"({"content": "three sons"})";
  client.send("POST /tokenize HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n" +
              body.substr(0, 5) + "\r\n");
  client.send("14\r\n" + body.substr(5) + "\r\n0\r\n\r\n");
  const RawAnswer answer = client.read();
  EXPECT_EQ(answer.status, 200) << answer.body;
  client.send("POST /tokenize HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: " +
              std::to_string(body.size()) + "\r\n\r\n");
  EXPECT_EQ(client.read().status, 100);
  client.send(body);
  EXPECT_EQ(client.read().body, answer.body);
}

TEST_F(HttpTest, EchoesIdsThatAreFit) {
  const RawAnswer given = gpt2_->ask("GET", "/health", "", "X-Request-Id: abc-1\r\n");
  EXPECT_TRUE(given.has("X-Request-Id: abc-1\r\n")) << given.head;
  const RawAnswer unfit =
      gpt2_->ask("GET", "/health", "", "X-Request-Id: " + std::string(200, 'x') + "\r\n");
  EXPECT_FALSE(unfit.has("xxx")) << unfit.head;
  EXPECT_TRUE(unfit.has("X-Request-Id: "));
}

TEST_F(HttpTest, HoldsManyIdleConnectionsAndStreams) {
  constexpr int kNumIdle = 1000;
  constexpr int kNumStreams = 512;
  rlimit files = {};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
  constexpr rlim_t kNeeded = 2 * (kNumIdle + kNumStreams) + 100;  // both ends are in this process
  if (files.rlim_max < kNeeded) GTEST_SKIP() << "needs " << kNeeded << " file descriptors";
  files.rlim_cur = std::max(files.rlim_cur, kNeeded);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &files), 0);
  const auto connect = [](int count) {
    std::vector<std::unique_ptr<RawClient>> clients;
    for (int i = 0; i < count; ++i) clients.push_back(std::make_unique<RawClient>(gpt2_->port()));
    return clients;
  };
  const auto idle = connect(kNumIdle);
  const auto streams = connect(kNumStreams);
  for (int i = 0; i < kNumStreams; ++i) {
    streams[std::size_t(i)]->send(request_text(
        "POST", "/v1/completions",
        R"({"prompt": [)" + std::to_string(i) + R"(], "max_tokens": 3, "ignore_eos": true, )" +
            R"("return_token_ids": true, "temperature": 0, "stream": true})"));
  }
  EXPECT_EQ(gpt2_->ask("GET", "/health").status, 200);  // while all of them run
  for (const auto& stream : streams) {
    const RawAnswer answer = stream->read();
    ASSERT_EQ(answer.status, 200) << answer.body;
    ASSERT_TRUE(answer.complete);
    ASSERT_EQ(answer.events().back(), "[DONE]");
    ASSERT_NE(answer.body.find("\"finish_reason\":\"length\""), std::string::npos);
  }
  for (const auto& client : idle) client->send(request_text("GET", "/health"));
  for (const auto& client : idle) ASSERT_EQ(client->read().status, 200);
}

TEST(HttpLimitsTest, EndsClientsThatAreSlowOrSilent) {
  tools::ServerOptions options;
  options.http.read_timeout = std::chrono::milliseconds(200);
  options.http.idle_timeout = std::chrono::milliseconds(400);
  TestServer server("tale-gpt2", options);
  RawClient silent(server.port());
  RawClient slow(server.port());
  const std::string text = request_text("GET", "/health", "", "X-Slow: yes\r\n");
  const auto began = std::chrono::steady_clock::now();
  bool refused = false;
  for (const char c : text) {  // slowloris
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    if (std::chrono::steady_clock::now() - began > std::chrono::milliseconds(300)) break;
    if (!slow.send(std::string(1, c))) refused = true;
  }
  if (!refused) {
    const RawAnswer answer = slow.read();
    EXPECT_EQ(answer.status, 408);
    EXPECT_EQ(answer.error("type"), "invalid_request_error");
  }
  EXPECT_TRUE(slow.wait_for_end());
  EXPECT_TRUE(silent.wait_for_end());
  EXPECT_EQ(silent.read().status, 0);
}

TEST(HttpLimitsTest, HasAnOwnBodyLimit) {
  tools::ServerOptions options;
  options.http.limits.max_body_bytes = 100;
  TestServer server("tale-gpt2", options);
  server.wait_until_ready();
  const RawAnswer answer =
      server.post("/tokenize", "{\"content\": \"" + std::string(200, 'a') + "\"}");
  EXPECT_EQ(answer.status, 413);
  EXPECT_NE(answer.error("message").find("100 bytes"), std::string::npos);
}

TEST(HttpAccessTest, WantsAKeyOnEveryRouteThatInfers) {
  tools::ServerOptions options;
  options.api_keys = {"first", "second-key"};
  options.cors_origins = {"https://page.example"};
  TestServer server("tale-gpt2", options);
  server.wait_until_ready();
  for (const char* path : {"/v1/completions", "/v1/chat/completions", "/tokenize", "/detokenize"}) {
    for (const char* fields : {"", "Authorization: Bearer wrong\r\n", "Authorization: first\r\n",
                               "Authorization: Bearer firs\r\n", "X-Api-Key: firstfirst\r\n",
                               "Authorization: Basic first\r\n", "X-Api-Key: \r\n"}) {
      const RawAnswer answer = server.ask("POST", path, "{}", fields);
      EXPECT_EQ(answer.status, 401) << path << fields;
      EXPECT_EQ(answer.error("type"), "authentication_error");
      EXPECT_EQ(answer.error("code"), "invalid_api_key");
    }
    for (const char* fields : {"Authorization: Bearer first\r\n", "X-Api-Key: second-key\r\n",
                               "authorization: bearer second-key\r\n"}) {
      EXPECT_EQ(server.ask("POST", path, "{}", fields).status, 400) << path << fields;
    }
  }
  EXPECT_EQ(server.ask("GET", "/v1/models").status, 401);
  for (const char* path : {"/health", "/metrics", "/version", "/openapi.json"}) {
    EXPECT_EQ(server.ask("GET", path).status, 200) << path;
  }
  // Pages: an allowed origin sees answers, also errors; a preflight needs no key.
  const std::string page = "Origin: https://page.example\r\n";
  const std::string allowed = "Access-Control-Allow-Origin: https://page.example\r\n";
  EXPECT_TRUE(server.ask("GET", "/health", "", page).has(allowed));
  EXPECT_TRUE(server.ask("POST", "/tokenize", "{}", page).has(allowed));
  const RawAnswer preflight = server.ask("OPTIONS", "/v1/completions", "", page);
  EXPECT_EQ(preflight.status, 200);
  EXPECT_TRUE(preflight.has(allowed));
  EXPECT_TRUE(preflight.has("Access-Control-Allow-Headers: Authorization"));
  EXPECT_FALSE(
      server.ask("GET", "/health", "", "Origin: https://other.example\r\n").has("Allow-Origin"));
}

TEST(HttpAccessTest, ListensOnAUnixSocket) {
  const TempFolder folder;
  tools::ServerOptions options;
  options.http.uds = (folder.path() / "socket").string();
  {
    TestServer server("tale-gpt2", options);
    RawClient client(options.http.uds);
    client.send(request_text("GET", "/version"));
    EXPECT_EQ(client.read().status, 200);
  }
  EXPECT_FALSE(std::filesystem::exists(options.http.uds));
}

TEST(HttpAccessTest, NamesAnAddressThatIsTaken) {
  TestServer server("tale-gpt2");
  tools::ServerOptions options;
  options.http.port = server.port();
  try {
    TestServer second("tale-gpt2", options);
    FAIL() << "both listen on one port";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(std::to_string(server.port())), std::string::npos);
  }
}

}  // namespace
}  // namespace quern::testing
