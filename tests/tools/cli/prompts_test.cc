#include "tests/tools/quern/program_fixture.h"

namespace quern::testing {
namespace {

using PromptsTest = ProgramTest;

const std::vector<std::string> kShort = {"-n", "4", "--json"};

std::vector<std::string> with(std::vector<std::string> arguments) {
  arguments.insert(arguments.end(), kShort.begin(), kShort.end());
  return arguments;
}

TEST_F(PromptsTest, AllSourcesGiveTheSame) {
  const TempFolder folder;
  const std::string text = write_file(folder / "p.txt", "Once upon a time\n").string();
  const std::string lines =
      write_file(folder / "p.jsonl", "{\"prompt\": \"Once upon a time\"}\n").string();
  const auto expected = json_of(run_llama(with({"-p", "Once upon a time"})))["results"];
  EXPECT_EQ(json_of(run_llama(with({"--prompt-file", text})))["results"], expected);
  EXPECT_EQ(json_of(run_llama(with({"--prompts-file", lines})))["results"], expected);
  EXPECT_EQ(json_of(run_llama(with({}), "Once upon a time\n"))["results"], expected);

  std::string ids;
  for (const auto& id : expected[0]["prompt_ids"]) ids += (ids.empty() ? "" : ",") + id.dump();
  const auto by_ids = json_of(run_llama(with({"--prompt-ids", ids})))["results"];
  EXPECT_EQ(by_ids, expected) << "ids are decoded for the report";
}

TEST_F(PromptsTest, OnlyOneTrailingNewlineIsDropped) {
  EXPECT_EQ(json_of(run_llama(with({}), "a\n\n"))["results"][0]["prompt"], "a\n");
  EXPECT_EQ(json_of(run_llama(with({}), "a\r\n"))["results"][0]["prompt"], "a");
  EXPECT_EQ(json_of(run_llama(with({"-p", "a\n"})))["results"][0]["prompt"], "a\n");
}

TEST_F(PromptsTest, ATerminalGetsAHintAndNoWait) {
  ChildOptions options;
  options.arguments = {"run", "-m", model("tale-llama")};
  options.terminal_input = true;
  expect_failure(run_child(options), 2, {"--prompt", "standard input"});
}

TEST_F(PromptsTest, BadPromptsAreOneError) {
  expect_failure(run_llama({"-p", "a\xffz"}), 1, {"--prompt", "UTF-8", "1"});
  expect_failure(run_llama({}, "ok \xc3"), 1, {"standard input", "UTF-8", "3"});
  expect_failure(run_llama({"-p", ""}), 1, {"--prompt: expected some text", "got none"});
  expect_failure(run_llama({"-p", "a", "-p", ""}), 1, {"--prompt, prompt 2 of 2", "got none"});
  expect_failure(run_llama({}, ""), 1, {"standard input", "got none", "--prompt TEXT"});
  expect_failure(run_llama({"--prompt-file", "-"}, "\n"), 1,
                 {"--prompt-file standard input", "none"});
  expect_failure(run_llama({"--prompt-file", "/dev/null"}), 1, {"--prompt-file /dev/null", "none"});
  expect_failure(run_llama({"--prompt-ids", "1,2048"}), 1, {"2048", "vocabulary"});
  expect_failure(run_llama({"--prompt-file", "/nowhere"}), 1, {"/nowhere"});
  expect_failure(run_llama({"--prompt-file", "/tmp"}), 1, {"/tmp"});
  expect_failure(run_llama({"-p", "fine", "--prompts-file", ""}), 2, {"--prompts-file"});
  expect_failure(run_llama({"-p", "a b c d e f g", "--max-seq-len", "4"}), 1, {"prompt", "4"});
  expect_failure(run_llama({"-p", "a", "-p", "a b c d e f g", "--max-seq-len", "6"}), 1,
                 {"prompt 2 of 2"});
  const TempFolder folder;
  const auto lines = [&](const std::string& text) {
    return write_file(folder / "p.jsonl", text).string();
  };
  expect_failure(run_llama({"--prompts-file", lines("{\"prompt\": \"a\"}\n{}\n")}), 1,
                 {"p.jsonl:2", "'prompt'"});
  expect_failure(run_llama({"--prompts-file", lines("{\"prompt\": \"\"}\n")}), 1,
                 {"p.jsonl:1", "got none"});
  expect_failure(run_llama({"--prompts-file", lines("{\"prompt\": \"a\", \"temp\": 1}\n")}), 1,
                 {"p.jsonl:1", "'temp'", "temperature"});
}

TEST_F(PromptsTest, ARecordHasItsOwnSettings) {
  const std::string lines =
      "{\"prompt\": \"The king\", \"max_new_tokens\": 2}\n"
      "{\"prompt\": \"The king\", \"temperature\": 5, \"top_k\": 50, \"seed\": 7}\n"
      "{\"prompt\": \"The king\", \"stop\": \" \", \"max_new_tokens\": 9}\n"
      "{\"prompt\": \"The king\"}\n";
  const auto json =
      json_of(run_llama({"--prompts-file", "-", "-n", "12", "--greedy", "--json"}, lines));
  const auto& results = json["results"];
  EXPECT_EQ(results[0]["output_ids"].size(), 2U);
  EXPECT_FALSE(results[0].contains("seed")) << "greedy";
  EXPECT_EQ(results[1]["seed"], 7);
  EXPECT_NE(results[1]["output_ids"], results[3]["output_ids"]);
  EXPECT_EQ(results[2]["finish_reason"], "stop_string");
  EXPECT_EQ(results[3]["output_ids"].size(), 12U);
  const auto alone = json_of(run_llama({"-p", "The king", "-n", "12", "--temperature", "5",
                                        "--top-k", "50", "--seed", "7", "--json"}));
  EXPECT_EQ(alone["results"][0], results[1]) << "as the same options on the command line";
}

TEST_F(PromptsTest, WithoutASeedEachPromptHasItsOwn) {
  const std::vector<std::string> arguments = {"-p", "The king", "-p", "The king", "-n",
                                              "8",  "--top-k",  "50", "--temp",   "3"};
  std::vector<std::string> with_json = arguments;
  with_json.emplace_back("--json");
  const auto json = json_of(run_llama(with_json));
  const auto first = json["results"][0]["seed"].get<std::uint64_t>();
  const auto second = json["results"][1]["seed"].get<std::uint64_t>();
  EXPECT_NE(first, second);
  EXPECT_LT(first, std::uint64_t{1} << 53);
  EXPECT_LT(second, std::uint64_t{1} << 53);
  EXPECT_TRUE(json["seed"].is_null()) << "there are several";
  const auto again = json_of(run_llama({"-p", "The king", "-n", "8", "--top-k", "50", "--temp", "3",
                                        "--seed", std::to_string(second), "--json"}));
  EXPECT_EQ(again["results"][0], json["results"][1]);
  EXPECT_NE(run_llama(arguments).err.find(", seeds "), std::string::npos);
  std::vector<std::string> one_seed = with_json;
  one_seed.insert(one_seed.end(), {"--seed", "5"});
  const auto same = json_of(run_llama(one_seed));
  EXPECT_EQ(same["seed"], 5);
  EXPECT_EQ(same["results"][0], same["results"][1]);
}

TEST_F(PromptsTest, SpecialTokensAndBosAsAsked) {
  const auto ids = [](const std::vector<std::string>& arguments) {
    std::vector<std::string> all = {"tokenize", "-m", model("tale-llama"), "-p", "a</s>", "--json"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    return json_of(run_quern(all))["ids"].get<std::vector<int>>();
  };
  const std::vector<int> parsed = ids({});
  EXPECT_EQ(parsed.front(), 1);
  EXPECT_EQ(parsed.back(), 2);
  EXPECT_NE(ids({"--no-bos"}).front(), 1);
  EXPECT_NE(ids({"--no-parse-special"}).back(), 2);
  const auto run_ids = json_of(run_llama(with({"-p", "a</s>", "--no-bos", "--no-parse-special"})));
  EXPECT_EQ(run_ids["results"][0]["prompt_ids"], ids({"--no-bos", "--no-parse-special"}));
}

}  // namespace
}  // namespace quern::testing
