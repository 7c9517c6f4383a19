#include "tools/load/load.h"

#include <gtest/gtest.h>

#include <atomic>

#include "tests/support/expect_error.h"
#include "tests/tools/cli/expect_usage_error.h"
#include "tests/tools/load/fake_server.h"
#include "tools/load/load_requests.h"

// The load generator against servers that err in every way.

namespace quern::tools {
namespace {

using quern::testing::FakeServer;
using quern::testing::http_answer;
using quern::testing::streamed_answer;

LoadSettings settings_for(const std::string& url, int concurrency = 1) {
  LoadSettings settings;
  settings.url = parse_server_url("--url", url);
  settings.concurrency = concurrency;
  settings.warm_up = 0;
  return settings;
}

std::vector<LoadRequest> some_requests(std::size_t count) {
  LoadRequestOptions options;
  options.input = {3, 3};
  options.output = {2, 2};
  return random_load(options, count);
}

/// The one answer of a load of one request.
AnswerRecord answer_of(const LoadSettings& settings) {
  const LoadResult result = run_load(settings, some_requests(1), {});
  EXPECT_EQ(result.answers.size(), 1);
  return result.answers.at(0);
}

TEST(LoadTest, SendsAllAndReadsTheirAnswers) {
  FakeServer server([](const std::string&) { return streamed_answer({"a", "b", "c"}); });
  LoadSettings settings = settings_for(server.url() + "/v1", 4);
  settings.api_key = "secret";
  settings.warm_up = 2;
  std::size_t last_progress = 0;
  const LoadResult result = run_load(
      settings, some_requests(12), {{}, [&](std::size_t num_ended) { last_progress = num_ended; }});
  ASSERT_EQ(result.answers.size(), 10);
  EXPECT_EQ(last_progress, 10);
  EXPECT_EQ(result.most_at_once, 4);
  for (const AnswerRecord& answer : result.answers) {
    EXPECT_FALSE(answer.failed()) << answer.error_kind << ": " << answer.error_message;
    EXPECT_EQ(answer.output_tokens, 7);  // by usage
    EXPECT_EQ(answer.prompt_tokens, 5);
    EXPECT_EQ(answer.inter_token_ms.size(), 2);
    EXPECT_EQ(answer.model, "fake");
    EXPECT_GT(answer.first_token_ms, 0);
    EXPECT_GE(answer.latency_ms, answer.first_token_ms);
  }
  ASSERT_EQ(server.requests().size(), 12);
  const std::string request = server.requests()[0];
  EXPECT_EQ(request.find("POST /v1/completions HTTP/1.1\r\n"), 0);
  EXPECT_NE(request.find("Authorization: Bearer secret\r\n"), std::string::npos);
}

TEST(LoadTest, ArrivalsFollowTheRate) {
  FakeServer server([](const std::string&) { return streamed_answer({"a"}); });
  LoadSettings settings = settings_for(server.url());
  settings.rate = 200;
  const LoadResult result = run_load(settings, some_requests(60), {});
  EXPECT_EQ(result.answers.size(), 60);
  // The sum of 60 exponential times of 5 ms: 300 ms, standard deviation 39 ms; at least that long.
  EXPECT_GT(result.seconds, 0.1);
}

TEST(LoadTest, NamesWhatFails) {
  const std::string cut = streamed_answer({"a", "b"});
  struct Case {
    std::string answer;
    std::string kind;
    std::string part;
  };
  const std::vector<Case> cases = {
      {http_answer(503, "application/json", R"({"error": {"message": "loading"}})"), "http_503",
       "loading"},
      {http_answer(404, "text/html", "<p>none</p>"), "http_404", "<p>none</p>"},
      {http_answer(200, "application/json", "{}"), "bad_stream", "application/json"},
      {http_answer(200, "text/event-stream", "data: {\"choices\": []}\n\n"), "bad_stream",
       "[DONE]"},
      {http_answer(200, "text/event-stream", "data: {oops\n\n"), "bad_stream", "event 1"},
      {http_answer(200, "text/event-stream", "data: {\"error\": {\"message\": \"lost\"}}\n\n"),
       "stream_error", "lost"},
      {"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
       "8\r\ndata: {}",
       "disconnected", "closed"},
      {"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
       "zz\r\n",
       "bad_http", ""},
      {"nonsense\r\n\r\n", "bad_http", ""},
      {"", "disconnected", "closed"},
  };
  for (const Case& each : cases) {
    FakeServer server([&](const std::string&) { return each.answer; });
    const AnswerRecord answer = answer_of(settings_for(server.url()));
    EXPECT_EQ(answer.error_kind, each.kind) << each.answer << answer.error_message;
    EXPECT_NE(answer.error_message.find(each.part), std::string::npos) << answer.error_message;
  }
}

TEST(LoadTest, CountsRefusedConnections) {
  std::string url;
  {
    FakeServer server([](const std::string&) { return ""; });
    url = server.url();
  }
  const LoadResult result = run_load(settings_for(url, 2), some_requests(5), {});
  ASSERT_EQ(result.answers.size(), 5);
  for (const AnswerRecord& answer : result.answers) {
    EXPECT_EQ(answer.error_kind, "connect");
    EXPECT_NE(answer.error_message.find("refused"), std::string::npos) << answer.error_message;
  }
  LoadSettings warmed = settings_for(url);
  warmed.warm_up = 1;
  EXPECT_QUERN_ERROR(ErrorCode::device, ({"first request", "refused"}),
                     run_load(warmed, some_requests(2), {}));
  EXPECT_EQ(answer_of(settings_for("unix:/no/such/socket")).error_kind, "connect");
  EXPECT_USAGE_ERROR(
      ({"--url", "at most"}),
      run_load(settings_for("unix:/" + std::string(200, 'x')), some_requests(1), {}));
  EXPECT_QUERN_ERROR(ErrorCode::device, ({"--url", "no-such-host.invalid"}),
                     run_load(settings_for("http://no-such-host.invalid"), some_requests(1), {}));
}

TEST(LoadTest, GivesUpAfterTheTimeout) {
  std::atomic<bool> ends = false;
  FakeServer server([&](const std::string&) {
    while (!ends) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return std::string();
  });
  LoadSettings settings = settings_for(server.url());
  settings.timeout = std::chrono::milliseconds(50);
  EXPECT_EQ(answer_of(settings).error_kind, "timeout");
  ends = true;
}

TEST(LoadTest, EndsWhenInterrupted) {
  std::atomic<bool> ends = false;
  FakeServer server([&](const std::string&) {
    while (!ends) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return std::string();
  });
  int asked = 0;
  const LoadResult result =
      run_load(settings_for(server.url(), 3), some_requests(9), {[&] { return ++asked > 3; }, {}});
  EXPECT_TRUE(result.answers.empty());
  ends = true;
}

}  // namespace
}  // namespace quern::tools
