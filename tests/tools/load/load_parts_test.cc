#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

#include "tests/tools/cli/expect_usage_error.h"
#include "tools/bench/random_requests.h"
#include "tools/load/answer_reader.h"
#include "tools/load/event_reader.h"
#include "tools/load/load_report.h"
#include "tools/load/load_requests.h"
#include "tools/load/server_url.h"

namespace quern::tools {
namespace {

using quern::testing::expect_usage_error;
using Clock = AnswerReader::Clock;
using std::chrono::milliseconds;

TEST(ServerUrlTest, TakesHostsAndSockets) {
  const ServerUrl plain = parse_server_url("--url", "http://127.0.0.1:8000");
  EXPECT_EQ(plain.host, "127.0.0.1");
  EXPECT_EQ(plain.port, "8000");
  EXPECT_EQ(plain.prefix, "");
  EXPECT_EQ(plain.authority(), "127.0.0.1:8000");
  const ServerUrl proxied = parse_server_url("--url", "http://host/quern/v1/");
  EXPECT_EQ(proxied.host, "host");
  EXPECT_EQ(proxied.port, "80");
  EXPECT_EQ(proxied.prefix, "/quern");
  EXPECT_EQ(proxied.authority(), "host");
  const ServerUrl v6 = parse_server_url("--url", "http://[::1]:81/v1");
  EXPECT_EQ(v6.host, "::1");
  EXPECT_EQ(v6.authority(), "[::1]:81");
  EXPECT_EQ(parse_server_url("--url", "unix:/run/quern").socket_path, "/run/quern");
}

TEST(ServerUrlTest, RefusesOthers) {
  for (const char* text : {"", "127.0.0.1:8000", "http://", "http:///v1", "http://a b",
                           "unix:", "http://user@host", "http://host/v1?x=1"}) {
    expect_usage_error({"--url: expected http://"}, [&] { parse_server_url("--url", text); });
  }
  expect_usage_error({"--url", "TLS"}, [] { parse_server_url("--url", "https://host"); });
  expect_usage_error({"--url", "port"}, [] { parse_server_url("--url", "http://host:0"); });
  expect_usage_error({"--url", "port"}, [] { parse_server_url("--url", "http://host:x"); });
}

TEST(EventReaderTest, IsTheSameHoweverItIsCut) {
  const std::string stream =
      ": a comment\n\ndata: one\n\nevent: x\r\ndata:two\r\ndata: lines\r\n\r\nid: 7\n\ndata\n\n"
      "data: left over\n";
  const std::vector<std::string> expected = {"one", "two\nlines", ""};
  for (std::size_t size = 1; size <= stream.size(); ++size) {
    EventReader reader;
    std::vector<std::string> events;
    for (std::size_t at = 0; at < stream.size(); at += size) {
      for (std::string& event : reader.feed(std::string_view(stream).substr(at, size))) {
        events.push_back(std::move(event));
      }
    }
    EXPECT_EQ(events, expected) << size;
    EXPECT_EQ(reader.num_pending_bytes(), 9);
  }
}

/// An answer of these events, ten milliseconds apart.
AnswerRecord read_events(const std::vector<std::string>& events) {
  const Clock::time_point begin = Clock::now();
  AnswerReader reader(begin);
  reader.head(200, "text/event-stream");
  auto now = begin;
  for (const std::string& event : events) {
    now += milliseconds(10);
    reader.body("data: " + event + "\n\n", now);
  }
  return reader.end("", "", now);
}

TEST(AnswerReaderTest, TimesTokensOfCompletions) {
  const AnswerRecord record = read_events({
      R"({"model": "tale", "choices": [{"text": "a", "finish_reason": null}]})",
      R"({"choices": [{"text": "", "finish_reason": null}]})",  // half a character
      R"({"choices": [{"text": "b", "finish_reason": null}]})",
      R"({"choices": [{"text": "", "finish_reason": "length"}]})",
      R"({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 5}})",
      "[DONE]",
  });
  EXPECT_FALSE(record.failed()) << record.error_message;
  EXPECT_DOUBLE_EQ(record.first_token_ms, 10);
  EXPECT_DOUBLE_EQ(record.latency_ms, 30);
  EXPECT_EQ(record.inter_token_ms, (std::vector<double>{10, 10}));
  EXPECT_EQ(record.prompt_tokens, 9);
  EXPECT_EQ(record.output_tokens, 5);
  EXPECT_DOUBLE_EQ(record.time_per_output_token_ms().value(), 5);
  EXPECT_EQ(record.model, "tale");
}

TEST(AnswerReaderTest, TimesTokensOfChats) {
  const AnswerRecord record = read_events({
      R"({"choices": [{"delta": {"role": "assistant", "content": ""}}]})",
      R"({"choices": [{"delta": {"reasoning_content": "hm"}}]})",
      R"({"choices": [{"delta": {"content": "yes"}, "finish_reason": "stop"}]})",  // in one event
      "[DONE]",
  });
  EXPECT_FALSE(record.failed()) << record.error_message;
  EXPECT_DOUBLE_EQ(record.first_token_ms, 20);
  EXPECT_DOUBLE_EQ(record.latency_ms, 30);
  EXPECT_EQ(record.output_tokens, 2);  // nobody counted them
}

TEST(AnswerReaderTest, TimesAnAnswerOfHalfACharacter) {
  const AnswerRecord record = read_events({
      R"({"choices": [{"text": "", "finish_reason": "length"}]})",
      R"({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 1}})",
      "[DONE]",
  });
  EXPECT_FALSE(record.failed()) << record.error_message;
  EXPECT_DOUBLE_EQ(record.first_token_ms, 10);
  EXPECT_EQ(record.output_tokens, 1);
}

TEST(AnswerReaderTest, NamesWhatIsWrong) {
  const std::string token = R"({"choices": [{"text": "a", "finish_reason": null}]})";
  struct Case {
    std::vector<std::string> events;
    std::string kind;
    std::string part;
  };
  const std::vector<Case> cases = {
      {{token}, "bad_stream", "[DONE]"},
      {{token, "{", "[DONE]"}, "bad_stream", "event 2"},
      {{"[1]"}, "bad_stream", "event 1"},
      {{token, R"({"error": {"message": "lost"}})", "[DONE]"}, "stream_error", "lost"},
      {{R"({"error": "all of it"})"}, "stream_error", "all of it"},
      {{"[DONE]"}, "no_output", "no token"},
      {{R"({"choices": [{"text": "", "finish_reason": "stop"}]})",
        R"({"choices": [], "usage": {"completion_tokens": 0}})", "[DONE]"},
       "no_output",
       "no token"},
  };
  for (const Case& each : cases) {
    const AnswerRecord record = read_events(each.events);
    EXPECT_EQ(record.error_kind, each.kind);
    EXPECT_NE(record.error_message.find(each.part), std::string::npos) << record.error_message;
  }
  AnswerReader status(Clock::now());
  status.head(429, "application/json");
  status.body(R"({"error": {"message": "full"}})", Clock::now());
  const AnswerRecord refused = status.end("", "", Clock::now());
  EXPECT_EQ(refused.error_kind, "http_429");
  EXPECT_EQ(refused.error_message, "full");
  AnswerReader whole(Clock::now());
  whole.head(200, "application/json");
  EXPECT_EQ(whole.end("", "", Clock::now()).error_kind, "bad_stream");
  AnswerReader cut(Clock::now());
  cut.head(200, "text/event-stream");
  EXPECT_EQ(cut.end("disconnected", "reset", Clock::now()).error_kind, "disconnected");
}

TEST(LoadRequestsTest, AreTheSameForTheSameSeed) {
  LoadRequestOptions options;
  options.input = parse_length_range("--input-len", "1-9");
  options.output = parse_length_range("--output-len", "3");
  options.vocab_size = 50;
  options.seed = 7;
  const std::vector<LoadRequest> first = random_load(options, 40);
  const std::vector<LoadRequest> again = random_load(options, 40);
  options.seed = 8;
  const std::vector<LoadRequest> other = random_load(options, 40);
  std::size_t shortest = 9;
  std::size_t longest = 1;
  std::size_t num_same = 0;
  for (std::size_t i = 0; i < first.size(); ++i) {
    EXPECT_EQ(first[i].body, again[i].body);
    num_same += first[i].body == other[i].body ? 1 : 0;
    const auto json = nlohmann::json::parse(first[i].body);
    EXPECT_EQ(json["prompt"].size(), first[i].prompt_tokens);
    EXPECT_EQ(json["max_tokens"], 3);
    EXPECT_TRUE(json["stream"].get<bool>() && json["ignore_eos"].get<bool>());
    EXPECT_FALSE(json.contains("model"));
    for (const auto& id : json["prompt"]) EXPECT_LT(id.get<int>(), 50);
    shortest = std::min(shortest, first[i].prompt_tokens);
    longest = std::max(longest, first[i].prompt_tokens);
  }
  EXPECT_LT(shortest, 3);
  EXPECT_GT(longest, 7);
  EXPECT_LT(num_same, 10);
  expect_usage_error({"--input-len", "descends"}, [] { parse_length_range("--input-len", "9-1"); });
  expect_usage_error({"--input-len"}, [] { parse_length_range("--input-len", "0"); });
  expect_usage_error({"--input-len"}, [] { parse_length_range("--input-len", "1-"); });
}

TEST(LoadRequestsTest, AreThoseOfAStressRun) {
  LoadRequestOptions options;
  options.input = {1, 20};
  options.output = {1, 9};
  options.seed = 5;
  std::mt19937_64 generator(5);
  for (const LoadRequest& request : random_load(options, 10)) {
    const int input_len = std::uniform_int_distribution<int>(1, 20)(generator);
    const int output_len = std::uniform_int_distribution<int>(1, 9)(generator);
    const Request expected = random_request(generator, 1000, input_len, output_len);
    const auto json = nlohmann::json::parse(request.body);
    EXPECT_EQ(json["prompt"].get<std::vector<std::int32_t>>(), expected.prompt_ids);
    EXPECT_EQ(json["max_tokens"], *expected.max_new_tokens);
  }
}

TEST(LoadRequestsTest, RecordsAreRepeated) {
  LoadRequestOptions options;
  options.model = "tale";
  options.stops_at_eos = true;
  const std::string records =
      R"({"prompt": "a", "max_new_tokens": 4, "temperature": 0.7, "top_p": 0.9, "seed": 3})"
      "\n"
      R"({"messages": [{"role": "user", "content": "hi"}], "stop": ["x"]})"
      "\n"
      R"({"prompt_ids": [1, 2]})";
  const std::vector<LoadRequest> requests = recorded_load(options, 4, records, "p.jsonl");
  ASSERT_EQ(requests.size(), 4);
  const auto text = nlohmann::json::parse(requests[0].body);
  EXPECT_EQ(text["prompt"], "a");
  EXPECT_EQ(text["max_tokens"], 4);
  EXPECT_EQ(text["temperature"], 0.7);
  EXPECT_EQ(text["top_p"], 0.9);
  EXPECT_EQ(text["seed"], 3);
  EXPECT_EQ(text["model"], "tale");
  EXPECT_FALSE(text.contains("ignore_eos"));
  EXPECT_STREQ(requests[0].path, "/v1/completions");
  const auto chat = nlohmann::json::parse(requests[1].body);
  EXPECT_STREQ(requests[1].path, "/v1/chat/completions");
  EXPECT_EQ(chat["messages"][0]["content"], "hi");
  EXPECT_EQ(chat["stop"][0], "x");
  EXPECT_EQ(requests[2].prompt_tokens, 2);
  EXPECT_EQ(requests[3].body, requests[0].body);
  try {
    recorded_load(options, 1, R"({"prompt": "a", "typical_p": 0.5})", "p.jsonl");
    ADD_FAILURE() << "no error";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::bad_file);
    EXPECT_NE(std::string(error.what()).find("p.jsonl:1"), std::string::npos) << error.what();
  }
}

TEST(LoadReportTest, CountsWhatMeetsTheObjectives) {
  LoadResult result;
  result.seconds = 2;
  for (const double first : {10.0, 20.0, 30.0}) {
    AnswerRecord answer;
    answer.first_token_ms = first;
    answer.latency_ms = first + 40;
    answer.inter_token_ms = {10, 30};
    answer.output_tokens = 3;
    answer.prompt_tokens = 5;
    result.answers.push_back(answer);
  }
  result.answers.push_back({});
  result.answers.back().error_kind = "http_500";
  result.answers.back().error_message = "lost";
  LoadSettings settings;
  settings.url = parse_server_url("--url", "http://host:1");
  settings.rate = 4;
  Objectives objectives;
  objectives.first_token_ms = 20.0F;
  objectives.time_per_output_token_ms = 20.0F;
  const auto json = load_document_json("us", settings, objectives, result)["serve"];
  EXPECT_EQ(json["requests"], 4);
  EXPECT_EQ(json["finished"], 3);
  EXPECT_EQ(json["good"], 2);
  EXPECT_EQ(json["goodput_per_s"], 1.0);
  EXPECT_EQ(json["requests_per_s"], 1.5);
  EXPECT_EQ(json["output_tokens_per_s"], 4.5);
  EXPECT_EQ(json["time_to_first_token_ms"]["median"], 20.0);
  EXPECT_EQ(json["time_per_output_token_ms"]["max"], 20.0);
  EXPECT_EQ(json["inter_token_ms"]["max"], 30.0);
  EXPECT_EQ(json["errors"][0]["kind"], "http_500");
  EXPECT_TRUE(json["concurrency"].is_null());
  EXPECT_EQ(load_failures(result), "1 of 4 requests failed: 1 http_500 (lost)");
  objectives.latency_ms = 55.0F;
  EXPECT_EQ(load_document_json("us", settings, objectives, result)["serve"]["good"], 1);
}

}  // namespace
}  // namespace quern::tools
