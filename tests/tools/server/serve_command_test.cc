#include <gtest/gtest.h>

#include <csignal>
#include <string>
#include <thread>

#include "tests/support/test_files.h"
#include "tests/tools/quern/child_process.h"
#include "tests/tools/server/raw_client.h"

// `quern serve` as a process: its words, its signals, its exit codes.

namespace quern::testing {
namespace {

std::string demo(const std::string& name) {
  return std::string(QUERN_SOURCE_DIR) + "/examples/models/" + name;
}

/// `quern serve` on tale-gpt2 and a Unix socket, ready.
class ServeProcess {
 public:
  explicit ServeProcess(std::vector<std::string> more = {}) {
    ChildOptions options;
    options.arguments = {"serve", "-m", demo("tale-gpt2"), "--uds", path(), "--device", "cpu"};
    options.arguments.insert(options.arguments.end(), more.begin(), more.end());
    child_ = std::make_unique<ChildProcess>(options);
    child_->wait_for_errors("ready: unix:");
  }

  std::string path() const { return (folder_.path() / "socket").string(); }
  ChildProcess& child() { return *child_; }

 private:
  TempFolder folder_;
  std::unique_ptr<ChildProcess> child_;
};

constexpr const char* kEndless =
    R"({"prompt": "The king", "max_tokens": 900, "ignore_eos": true, "stream": true})";

TEST(ServeCommandTest, AnswersAsRunDoesAndEndsOnSigterm) {
  ServeProcess server;
  const ChildResult run =
      run_quern({"run", "-m", demo("tale-gpt2"), "-p", "The king had three sons.", "-n", "40",
                 "--greedy", "--device", "cpu"});
  RawClient client(server.path());
  client.send(
      request_text("POST", "/v1/completions",
                   R"({"prompt": "The king had three sons.", "max_tokens": 40, "temperature": 0})",
                   "X-Request-Id: tale-7\r\n"));
  const RawAnswer answer = client.read();
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.json()["choices"][0]["text"].get<std::string>() + "\n", run.out);
  server.child().send(SIGTERM);
  const ChildResult result = server.child().finish();
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, "");
  EXPECT_NE(result.err.find("POST '/v1/completions' 200"), std::string::npos) << result.err;
  EXPECT_NE(result.err.find(" tale-7\n"), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("shutting down"), std::string::npos) << result.err;
}

TEST(ServeCommandTest, EndsStreamsAtTheShutdownTimeout) {
  ServeProcess server({"--shutdown-timeout", "0"});
  RawClient client(server.path());
  client.send(request_text("POST", "/v1/completions", kEndless));
  ASSERT_TRUE(client.wait_for("data: "));
  server.child().send(SIGINT);
  const RawAnswer answer = client.read();
  EXPECT_TRUE(answer.complete);
  const auto events = answer.events();
  ASSERT_GE(events.size(), 2);
  EXPECT_EQ(events.back(), "[DONE]");
  EXPECT_NE(events[events.size() - 2].find("\"finish_reason\":\"abort\""), std::string::npos);
  EXPECT_EQ(server.child().finish().exit_code, 0);
}

TEST(ServeCommandTest, ASecondSignalEndsAtOnce) {
  ServeProcess server({"--shutdown-timeout", "1000", "--max-seqs", "1"});
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 40; ++i) {  // together they take long
    clients.push_back(std::make_unique<RawClient>(server.path()));
    clients.back()->send(request_text("POST", "/v1/completions", kEndless));
  }
  ASSERT_TRUE(clients.front()->wait_for("data: "));
  server.child().send(SIGTERM);
  server.child().wait_for_errors("shutting down");
  server.child().send(SIGTERM);
  EXPECT_EQ(server.child().finish().exit_code, 130);
}

TEST(ServeCommandTest, TellsWhereItListensAsJson) {
  ChildOptions options;
  options.arguments = {"serve", "-m",     demo("tale-gpt2"), "--port",
                       "0",     "--json", "--device",        "cpu"};
  ChildProcess child(options);
  child.wait_for_output(20);
  child.send(SIGTERM);
  const ChildResult result = child.finish();
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const auto json = nlohmann::ordered_json::parse(result.out);
  EXPECT_EQ(json["url"].get<std::string>().substr(0, 17), "http://127.0.0.1:");
  EXPECT_GT(json["ready_ms"], 0);
}

TEST(ServeCommandTest, RefusesWhatCannotBe) {
  struct Case {
    std::vector<std::string> arguments;
    int exit_code;
    std::string part;
  };
  const TempFolder folder;
  const std::string empty = (folder.path() / "keys").string();
  write_file(empty, "# none yet\n\n");
  const std::string model = demo("tale-gpt2");
  const std::vector<Case> cases = {
      {{"serve", "-m", model, "--uds", "/tmp/x", "--port", "1"}, 2, "--uds and --port"},
      {{"serve", "-m", model, "--metrics-compat", "other"}, 2, "expected vllm"},
      {{"serve", "-m", model, "--port", "70000"}, 2, "--port"},
      {{"serve", "-m", model, "--host", "no such host"}, 2, "--host"},
      {{"serve", "-m", model, "--uds", std::string(200, 'x')}, 2, "--uds"},
      {{"serve", "-m", model, "--kv-reservation", "half"}, 2, "full or grow"},
      {{"serve", "-m", model, "--host", "192.0.2.1"}, 1, "192.0.2.1:8000"},
      {{"serve", "-m", model, "--uds", "/no/such/folder/s"}, 1, "/no/such/folder/s"},
      {{"serve", "-m", model, "--api-key-file", empty}, 1, "got none"},
      {{"serve", "-m", model, "--api-key-file", "/no/such/file"}, 1, "/no/such/file"},
      {{"serve", "-m", "/no/such/model"}, 1, "/no/such/model"},
      {{"serve", "-m", model, "--port", "0", "--kv-cache-memory", "1"}, 1, "kv"},
  };
  for (const Case& each : cases) {
    const ChildResult result = run_quern(each.arguments);
    EXPECT_EQ(result.exit_code, each.exit_code) << each.part << result.err;
    EXPECT_NE(result.err.find(each.part), std::string::npos) << result.err;
    EXPECT_EQ(result.err.substr(0, 7), "error: ") << result.err;
  }
}

}  // namespace
}  // namespace quern::testing
