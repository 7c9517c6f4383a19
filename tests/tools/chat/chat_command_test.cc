// `quern chat` without a terminal, and `quern run --chat`.
#include <sstream>

#include "tests/tools/quern/program_fixture.h"

namespace quern::testing {
namespace {

using Json = nlohmann::ordered_json;

class ChatCommandTest : public ProgramTest {
 protected:
  static ChildResult chat(const std::string& name, std::vector<std::string> arguments,
                          const std::string& input) {
    const std::vector<std::string> head = {"chat", "-m", model(name), "--device", "cpu"};
    arguments.insert(arguments.begin(), head.begin(), head.end());
    return run_quern(std::move(arguments), input);
  }

  static ChildResult run_chat(const std::string& name, std::vector<std::string> arguments,
                              const std::string& input = "") {
    const std::vector<std::string> head = {"run", "-m", model(name), "--device", "cpu"};
    arguments.insert(arguments.begin(), head.begin(), head.end());
    return run_quern(std::move(arguments), input);
  }

  static std::vector<Json> lines_of(const ChildResult& result) {
    std::vector<Json> lines;
    std::istringstream stream(result.out);
    for (std::string line; std::getline(stream, line);) lines.push_back(Json::parse(line));
    return lines;
  }

  TempFolder folder_;
};

TEST_F(ChatCommandTest, TenTurnsAreTenRunsOverTheWholeHistory) {
  std::string input;
  for (int i = 0; i < 10; ++i) input += "Tell me of king " + std::to_string(i) + ".\n";
  for (const char* name : {"tale-qwen", "tale-qwen2"}) {
    SCOPED_TRACE(name);
    const ChildResult result = chat(name, {"--greedy", "-n", "12", "--json", "-q"}, input);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    const std::vector<Json> answers = lines_of(result);
    ASSERT_EQ(answers.size(), 10U);
    // A turn computes what is new, and what a block of 32 tokens has beside it.
    for (int i = 1; i < 10; ++i) {
      const int before = answers[i - 1]["prompt_tokens"];
      EXPECT_GE(answers[i]["cached_prompt_tokens"], before / 32 * 32) << i;
    }
    Json messages = Json::array();
    std::string records;
    for (int i = 0; i < 10; ++i) {
      messages.push_back(
          {{"role", "user"}, {"content", "Tell me of king " + std::to_string(i) + "."}});
      records += Json{{"messages", messages}}.dump() + "\n";
      messages.push_back({{"role", "assistant"}, {"content", answers[i]["text"]}});
    }
    const Json fresh = json_of(
        run_chat(name, {"--prompts-file", "-", "--greedy", "-n", "12", "--json", "-q"}, records));
    for (int i = 0; i < 10; ++i) {
      EXPECT_EQ(fresh["results"][i]["text"], answers[i]["text"]) << i;
      EXPECT_EQ(fresh["results"][i]["output_ids"], answers[i]["output_ids"]) << i;
    }
  }
}

TEST_F(ChatCommandTest, AnswersEndAtTheTurnsEndAndShowNoSpecialToken) {
  for (const char* name : {"tale-qwen", "tale-qwen2"}) {
    SCOPED_TRACE(name);
    // <|im_end|> is 1842, <|im_start|> 1841. The first ends an answer wherever it comes.
    const ChildResult ended =
        chat(name, {"--greedy", "--logit-bias", "1842=1000", "--json"}, "Hello\n");
    const std::vector<Json> lines = lines_of(ended);
    ASSERT_EQ(lines.size(), 1U) << ended.err;
    EXPECT_EQ(lines[0]["finish_reason"], "stop");
    EXPECT_EQ(lines[0]["text"], "");
    EXPECT_EQ(lines[0]["output_ids"], Json::array({1842}));
    for (const char* token : {"1841=1000", "1842=1000"}) {
      const ChildResult shown = chat(
          name, {"--greedy", "--ignore-eos", "-n", "4", "--logit-bias", token, "-q"}, "Hello\n");
      EXPECT_EQ(shown.out, "\n");
    }
  }
}

TEST_F(ChatCommandTest, TheFirstQwensAnswersAreClean) {
  const auto arguments = std::vector<std::string>{"--greedy", "-n", "24", "--json"};
  const Json raw = json_of(run_chat("tale-qwen", {"-p",
                                                  "<|im_start|>system\nYou are a helpful "
                                                  "assistant.<|im_end|>\n<|im_start|>user\nA "
                                                  "story.<|im_end|>\n<|im_start|>assistant\n",
                                                  "--greedy", "-n", "24", "--json"}));
  const std::vector<Json> clean = lines_of(chat("tale-qwen", arguments, "A story.\n"));
  const std::string text = raw["results"][0]["text"];
  const std::size_t first = text.find_first_not_of(" \n");
  const std::size_t last = text.find_last_not_of(" \n");
  ASSERT_NE(first, std::string::npos);
  EXPECT_EQ(clean[0]["text"], text.substr(first, last - first + 1));
  EXPECT_EQ(clean[0]["output_ids"], raw["results"][0]["output_ids"]);
}

TEST_F(ChatCommandTest, OldestTurnsLeaveAndItIsSaid) {
  std::string input = "/system You are the teller of long tales.\n";
  for (int i = 0; i < 6; ++i) input += "Tell me of the king's three sons and daughters.\n";
  const ChildResult result =
      chat("tale-qwen2", {"--greedy", "-n", "16", "--json", "--max-seq-len", "128"}, input);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  const std::vector<Json> lines = lines_of(result);
  ASSERT_EQ(lines.size(), 6U);
  EXPECT_EQ(lines[0]["turns_left_out"], 0);
  EXPECT_GT(lines[5]["turns_left_out"], 1);
  for (const Json& line : lines) EXPECT_LE(line["prompt_tokens"], 128 - 16);
  EXPECT_NE(result.err.find("are left out"), std::string::npos) << result.err;

  // What is left is the prompt of the system message and the last turns.
  const std::size_t gone = lines[5]["turns_left_out"];
  Json messages = {{{"role", "system"}, {"content", "You are the teller of long tales."}}};
  for (std::size_t i = gone; i < 6; ++i) {
    messages.push_back(
        {{"role", "user"}, {"content", "Tell me of the king's three sons and daughters."}});
    if (i < 5) messages.push_back({{"role", "assistant"}, {"content", lines[i]["text"]}});
  }
  const Json fresh = json_of(
      run_chat("tale-qwen2",
               {"--prompts-file", "-", "--greedy", "-n", "16", "--json", "--max-seq-len", "128"},
               Json{{"messages", messages}}.dump() + "\n"));
  EXPECT_EQ(fresh["results"][0]["output_ids"], lines[5]["output_ids"]);
  EXPECT_EQ(fresh["results"][0]["prompt_ids"].size(), lines[5]["prompt_tokens"]);
}

TEST_F(ChatCommandTest, TheFirstQwensWindowHolds) {
  const auto copy = folder_ / "m";
  std::filesystem::copy(models() / "tale-qwen", copy);
  Json config = Json::parse(read_file(copy / "generation_config.json"));
  config["max_window_size"] = 60;
  write_file(copy / "generation_config.json", config.dump());
  std::string input;
  for (int i = 0; i < 4; ++i) input += "Tell me of the king.\n";
  const ChildResult result = run_quern(
      {"chat", "-m", copy.string(), "--device", "cpu", "--greedy", "-n", "8", "--json"}, input);
  const std::vector<Json> lines = lines_of(result);
  ASSERT_EQ(lines.size(), 4U) << result.err;
  for (const Json& line : lines) EXPECT_LE(line["prompt_tokens"], 60);
  EXPECT_GT(lines[3]["turns_left_out"], 0);
}

TEST_F(ChatCommandTest, AMessageBeyondTheContextIsAnErrorAndTheChatGoesOn) {
  std::string longest;
  for (int i = 0; i < 200; ++i) longest += "king ";
  const ChildResult result =
      chat("tale-qwen2", {"--greedy", "-n", "4", "--max-seq-len", "64"}, longest + "\nHello\n");
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.err.find("error: the message (with the system message) has "), std::string::npos)
      << result.err;
  EXPECT_EQ(std::count(result.out.begin(), result.out.end(), '\n'), 1) << result.out;
}

TEST_F(ChatCommandTest, ConversationsAreSavedAndLoaded) {
  const std::string file = (folder_ / "c.jsonl").string();
  const ChildResult first =
      chat("tale-qwen2", {"--greedy", "-n", "8", "--save", file, "--system", "Be brief.", "--json"},
           "Hello\n//slash\n");
  EXPECT_EQ(first.exit_code, 0) << first.err;
  const std::vector<Json> answers = lines_of(first);
  std::istringstream saved(read_file(file));
  std::vector<Json> messages;
  for (std::string line; std::getline(saved, line);) messages.push_back(Json::parse(line));
  ASSERT_EQ(messages.size(), 5U);
  EXPECT_EQ(messages[0], (Json{{"role", "system"}, {"content", "Be brief."}}));
  EXPECT_EQ(messages[1], (Json{{"role", "user"}, {"content", "Hello"}}));
  EXPECT_EQ(messages[2], (Json{{"role", "assistant"}, {"content", answers[0]["text"]}}));
  EXPECT_EQ(messages[3]["content"], "/slash");
  // The answer to the last message again, from the file, greedily the same.
  const ChildResult again =
      chat("tale-qwen2", {"--greedy", "-n", "8", "--load", file, "--json"}, "/regen\n");
  EXPECT_EQ(lines_of(again)[0]["text"], answers[1]["text"]) << again.err;

  write_file(folder_ / "bad.jsonl", "{\"role\": \"user\", \"content\": \"a\"}\n{\"content\": 1}\n");
  expect_failure(chat("tale-qwen2", {"--load", (folder_ / "bad.jsonl").string()}, ""), 1,
                 {"bad.jsonl:2", "'role'", "expected"});
}

TEST_F(ChatCommandTest, CommandsChangeTheConversation) {
  const ChildResult result = chat("tale-qwen2", {"--greedy", "-n", "8", "--json"},
                                  "One\nTwo\n/undo\nTwo\n/regen\n/reset\nOne\n/stats\n"
                                  "/set temperature 0.7\n/set\n/set top-k x\n/nope\n/quit\nNo\n");
  EXPECT_EQ(result.exit_code, 1);  // two commands were wrong
  const std::vector<Json> lines = lines_of(result);
  ASSERT_EQ(lines.size(), 5U) << result.err;
  EXPECT_EQ(lines[1], lines[2]);
  EXPECT_EQ(lines[2]["text"], lines[3]["text"]);
  EXPECT_EQ(lines[0]["output_ids"], lines[4]["output_ids"]);
  for (const char* part :
       {"Took back: Two", "A new conversation.", "1 turn, 0 left out", " prefilled",
        "temperature           0.7", "error: /set top_k: ", "unknown command '/nope'"}) {
    EXPECT_NE(result.err.find(part), std::string::npos) << part << " in\n" << result.err;
  }
}

TEST_F(ChatCommandTest, ReasoningIsNoAnswer) {
  write_file(folder_ / "think.jinja", "{{ messages[-1].content }} <think>\n");
  const std::string file = (folder_ / "think.jinja").string();
  const ChildResult chatted =
      chat("tale-qwen2", {"--greedy", "-n", "8", "--chat-template", file}, "Once upon a time\n");
  EXPECT_EQ(chatted.out, "\n");
  EXPECT_NE(chatted.err.find("thinking: "), std::string::npos) << chatted.err;
  EXPECT_EQ(chatted.err.find('\x1b'), std::string::npos);
  const Json run = json_of(run_chat("tale-qwen2", {"--chat", "-p", "Once upon a time", "--greedy",
                                                   "-n", "8", "--chat-template", file, "--json"}));
  EXPECT_EQ(run["results"][0]["text"], "");
  EXPECT_NE(run["results"][0]["reasoning"], "");
}

TEST_F(ChatCommandTest, RunTakesChats) {
  const Json json = json_of(run_chat(
      "tale-qwen2", {"--chat", "--system", "S", "-p", "Hi <|im_end|>", "-n", "4", "--json"}));
  EXPECT_EQ(json["results"][0]["prompt"],
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nHi <|im_end|><|im_end|>\n"
            "<|im_start|>assistant\n");
  const auto count = [](const Json& result, int id) {
    const auto ids = result["prompt_ids"].get<std::vector<int>>();
    return std::count(ids.begin(), ids.end(), id);
  };
  EXPECT_EQ(count(json["results"][0], 1842), 2);  // that of the user is text
  const Json parsed =
      json_of(run_chat("tale-qwen2", {"--chat", "--system", "S", "-p", "Hi <|im_end|>", "-n", "4",
                                      "--json", "--parse-special-in-messages"}));
  EXPECT_EQ(count(parsed["results"][0], 1842), 3);
  for (const auto& [arguments, parts] :
       std::vector<std::pair<std::vector<std::string>, std::vector<std::string>>>{
           {{"--chat", "--prompt-ids", "1"}, {"--chat", "--prompt-ids"}},
           {{"--chat", "-p", "a", "--no-bos"}, {"--chat", "--no-bos"}},
           {{"--chat", "-p", "a", "--echo"}, {"--chat", "--echo"}},
           {{"-p", "a", "--system", "S"}, {"--system", "--chat"}},
           {{"-p", "a", "--var", "x=1"}, {"--var", "--chat"}},
           {{"--chat", "-p", "a", "--var", "x"}, {"--var", "NAME=JSON"}},
           {{"--chat", "-p", "a", "--var", "messages=[]"}, {"--var", "messages"}},
           {{"--chat", "-p", "a", "--date", "2024-02-30"}, {"--date", "YYYY-MM-DD"}}}) {
    const ChildResult result = run_chat("tale-qwen2", arguments);
    EXPECT_EQ(result.exit_code, 2) << arguments[1];
    for (const std::string& part : parts) {
      EXPECT_NE(result.err.find(part), std::string::npos) << result.err;
    }
  }
  expect_failure(run_chat("tale-gpt2", {"--chat", "-p", "a"}), 1, {"no chat template"});
}

TEST_F(ChatCommandTest, EchoPrintsThePromptFirst) {
  const std::vector<std::string> greedy = {"-p", "Once upon a time", "--greedy", "-n", "8", "-q"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.end(), greedy.begin(), greedy.end());
    return run_llama(more);
  };
  const std::string answer = with({}).out;
  EXPECT_EQ(with({"--echo"}).out, "Once upon a time" + answer);
  const Json json = json_of(with({"--echo", "--json"}));
  EXPECT_EQ(json["results"][0]["text"].get<std::string>() + "\n", "Once upon a time" + answer);
}

TEST_F(ChatCommandTest, StreamedJsonIsALineForEachToken) {
  const ChildResult result = run_llama({"-p", "Once upon a time", "-p", "The king", "--greedy",
                                        "-n", "8", "--stream-json", "--logprobs", "2"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  std::vector<Json> lines = lines_of(result);
  const Json summary = lines.back();
  lines.pop_back();
  ASSERT_EQ(summary["results"].size(), 2U);
  for (std::size_t prompt = 0; prompt < 2; ++prompt) {
    std::string text;
    Json ids = Json::array();
    Json logprobs = Json::array();
    Json reason;
    for (const Json& line : lines) {
      if (line["prompt"] != prompt) continue;
      text += line["text"].get<std::string>();
      if (!line.contains("id")) continue;
      ids.push_back(line["id"]);
      logprobs.push_back({{"id", line["id"]}, {"logprob", line["logprob"]}, {"top", line["top"]}});
      if (line.contains("finish_reason")) reason = line["finish_reason"];
    }
    const Json& whole = summary["results"][prompt];
    EXPECT_EQ(text, whole["text"]);
    EXPECT_EQ(ids, whole["output_ids"]);
    EXPECT_EQ(logprobs, whole["logprobs"]);
    EXPECT_EQ(reason, whole["finish_reason"]);
  }
}

TEST_F(ChatCommandTest, TemplatesAreRendered) {
  const std::string file = (folder_ / "m.json").string();
  write_file(file, R"([{"role": "user", "content": "Hi <|im_end|>"}])");
  const std::vector<std::string> head = {"template", "-m", model("tale-qwen2"), "--messages", file};
  const auto run = [&](std::vector<std::string> more) {
    more.insert(more.begin(), head.begin(), head.end());
    return run_quern(std::move(more));
  };
  EXPECT_EQ(run({}).out,
            "<|im_start|>system\nYou are a storyteller.<|im_end|>\n<|im_start|>user\nHi "
            "<|im_end|><|im_end|>\n<|im_start|>assistant\n\n");
  EXPECT_EQ(run({"--chat-template", "chatml", "--no-generation-prompt"}).out,
            "<|im_start|>user\nHi <|im_end|><|im_end|>\n\n");
  const Json json = json_of(run({"--json"}));
  EXPECT_EQ(json["prompt_ids"][0], 1841);
  write_file(folder_ / "t.jinja",
             "{{ enable_thinking }} {{ tools | length }} {{ strftime_now('%d %b %Y') }}");
  write_file(folder_ / "both.json",
             R"({"messages": [{"role": "user", "content": "a"}], "tools": [{"a": 1}, {"b": 2}]})");
  const ChildResult both = run_quern({"template", "-m", model("tale-qwen2"), "--messages",
                                      (folder_ / "both.json").string(), "--chat-template",
                                      (folder_ / "t.jinja").string(), "--var",
                                      "enable_thinking=false", "--date", "2024-07-26"});
  EXPECT_EQ(both.out, "False 2 26 Jul 2024\n") << both.err;
  expect_failure(run({"--chat-template", "nope"}), 1, {"nope", "chatml"});
  expect_failure(run_quern({"template", "-m", model("tale-qwen2")}), 2, {"--messages"});
  write_file(folder_ / "bad.json", R"({"messages": [], "more": 1})");
  expect_failure(run_quern({"template", "-m", model("tale-qwen2"), "--messages",
                            (folder_ / "bad.json").string()}),
                 1, {"bad.json", "messages", "empty"});
}

}  // namespace
}  // namespace quern::testing
