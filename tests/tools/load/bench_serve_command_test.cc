#include <gtest/gtest.h>

#include "tests/support/test_files.h"
#include "tests/tools/load/fake_server.h"
#include "tests/tools/quern/program_fixture.h"
#include "tests/tools/server/server_fixture.h"

// `quern bench serve` as a process: against our server, and against one that errs.

namespace quern::testing {
namespace {

class BenchServeTest : public ProgramTest {};

TEST_F(BenchServeTest, MeasuresOurServer) {
  TestServer server("tale-gpt2");
  server.wait_until_ready();
  const std::string url = "http://127.0.0.1:" + std::to_string(server.port()) + "/v1";
  const auto json = json_of(run_quern(
      {"bench", "serve", "--url", url, "--concurrency", "8", "--requests", "24", "--input-len",
       "1-40", "--output-len", "40", "--model", "tale-gpt2", "--slo-latency", "60000", "--json"}));
  const auto& serve = json["serve"];
  EXPECT_EQ(json["schema"], "quern bench");
  EXPECT_EQ(serve["finished"], 24);
  EXPECT_EQ(serve["good"], 24);
  EXPECT_EQ(serve["most_at_once"], 8);
  EXPECT_EQ(serve["output_tokens"], 24 * 40);
  EXPECT_EQ(serve["model"], "tale-gpt2");
  EXPECT_GT(serve["time_to_first_token_ms"]["median"], 0);
  // Tokens are seen when they come.
  EXPECT_GT(serve["latency_ms"]["median"],
            1.2 * serve["time_to_first_token_ms"]["median"].get<double>());
  EXPECT_GT(serve["inter_token_ms"]["median"], 0.01);
  EXPECT_GT(serve["time_per_output_token_ms"]["median"], 0.01);
  EXPECT_TRUE(serve["errors"].empty());
  EXPECT_EQ(server.service().metrics().generation_tokens, 25 * 40);  // with the warm-up

  const ChildResult table = run_quern(
      {"bench", "serve", "--url", url, "--rate", "200", "--requests", "9", "--output-len", "2"});
  EXPECT_EQ(table.exit_code, 0) << table.err;
  EXPECT_NE(table.out.find("9 requests, 200 a second wanted: 9 were answered"), std::string::npos)
      << table.out;
}

TEST_F(BenchServeTest, SendsPromptRecords) {
  TestServer server("tale-qwen2");
  server.wait_until_ready();
  const TempFolder folder;
  const std::string file = (folder.path() / "p.jsonl").string();
  write_file(file, R"({"prompt": "The king", "max_new_tokens": 3})"
                   "\n"
                   R"({"messages": [{"role": "user", "content": "Tell me of a fox."}]})"
                   "\n");
  const auto json = json_of(
      run_quern({"bench", "serve", "--url", "http://localhost:" + std::to_string(server.port()),
                 "--concurrency", "2", "--requests", "4", "--warm-up", "0", "--output-len", "6",
                 "--prompts-file", file, "--json"}));
  EXPECT_EQ(json["serve"]["finished"], 4);
  EXPECT_EQ(json["serve"]["output_tokens"], 3 + 6 + 3 + 6);
}

TEST_F(BenchServeTest, FailsWhereRequestsFail) {
  int count = 0;
  FakeServer server([&](const std::string&) {
    return ++count % 3 == 0 ? http_answer(500, "application/json", R"({"error": "lost"})")
                            : streamed_answer({"a", "b"});
  });
  const ChildResult result = run_quern(
      {"bench", "serve", "--url", server.url(), "--concurrency", "1", "--requests", "8", "--json"});
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_EQ(result.err, "error: 3 of 8 requests failed: 3 http_500 (lost)\n");
  const auto json = nlohmann::ordered_json::parse(result.out);
  EXPECT_EQ(json["serve"]["finished"], 5);
  EXPECT_EQ(json["serve"]["errors"][0]["count"], 3);
}

TEST_F(BenchServeTest, RefusesWhatCannotBe) {
  const std::string url = "http://127.0.0.1:9";  // discard: nobody listens
  expect_failure(run_quern({"bench", "serve", "--url", url, "--concurrency", "1"}), 1,
                 {"first request", "127.0.0.1:9", "refused"});
  expect_failure(run_quern({"bench", "serve", "--rate", "1"}), 2, {"--url is missing"});
  expect_failure(run_quern({"bench", "serve", "--url", url}), 2, {"--rate", "--concurrency"});
  expect_failure(run_quern({"bench", "serve", "--url", url, "--rate", "1", "--concurrency", "1"}),
                 2, {"--rate", "--concurrency"});
  expect_failure(run_quern({"bench", "serve", "--url", "https://x", "--rate", "1"}), 2, {"TLS"});
  expect_failure(run_quern({"bench", "serve", "--url", url, "--rate", "1", "--prompts-file", "p",
                            "--input-len", "3"}),
                 2, {"--prompts-file", "--input-len"});
  expect_failure(
      run_quern({"bench", "serve", "--url", url, "--rate", "1", "--prompts-file", "/no/file"}), 1,
      {"/no/file"});
  expect_failure(run_quern({"bench", "serve", "--url", url, "--batch-size", "1"}), 2,
                 {"unknown option '--batch-size'"});
  expect_failure(run_quern({"bench", "--batch-size", "1", "serve"}), 2, {"unexpected argument"});
  const ChildResult help = run_quern({"bench", "serve", "--help"});
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_NE(help.out.find("Usage: quern bench serve [OPTIONS]"), std::string::npos) << help.out;
}

}  // namespace
}  // namespace quern::testing
