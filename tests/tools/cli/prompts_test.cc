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
  expect_failure(run_llama({"-p", ""}), 1, {"prompt", "none"});
  expect_failure(run_llama({}, ""), 1, {"prompt", "none"});
  expect_failure(run_llama({"--prompt-ids", "1,2048"}), 1, {"2048", "vocabulary"});
  expect_failure(run_llama({"--prompt-file", "/nowhere"}), 1, {"/nowhere"});
  expect_failure(run_llama({"--prompt-file", "/tmp"}), 1, {"/tmp"});
  expect_failure(run_llama({"-p", "fine", "--prompts-file", ""}), 2, {"--prompts-file"});
  expect_failure(run_llama({"-p", "a b c d e f g", "--max-seq-len", "4"}), 1, {"prompt", "4"});
  expect_failure(run_llama({"-p", "a", "-p", "a b c d e f g", "--max-seq-len", "6"}), 1,
                 {"prompt 2 of 2"});
  const TempFolder folder;
  const std::string lines = write_file(folder / "p.jsonl", "{\"prompt\": \"a\"}\n{}\n").string();
  expect_failure(run_llama({"--prompts-file", lines}), 1, {"p.jsonl:2", "'prompt'"});
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
