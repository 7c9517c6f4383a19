#include "tests/tools/quern/program_fixture.h"

namespace quern::testing {
namespace {

using Json = nlohmann::ordered_json;

class SummarizeCommandTest : public ProgramTest {
 protected:
  static ChildResult run_summarize(const std::string& name, std::vector<std::string> arguments) {
    const std::vector<std::string> head = {"summarize", "-m",      model(name), "--device",
                                           "cpu",       "--dtype", "float32"};
    arguments.insert(arguments.begin(), head.begin(), head.end());
    return run_quern(std::move(arguments));
  }
  static Json summarize_json(const std::string& name, std::vector<std::string> arguments) {
    arguments.emplace_back("--json");
    return json_of(run_summarize(name, std::move(arguments)));
  }
  std::string file(const std::string& name, const std::string& content) {
    return write_file(folder_ / name, content).string();
  }
  /// Two tiny articles.
  std::string data_set() {
    return file(
        "tales.jsonl",
        "{\"article\": \"The king had three sons.\", \"highlights\": \"A king.\"}\n"
        "{\"article\": \"Once upon a time there was a fox.\", \"highlights\": \"A fox.\"}\n");
  }

  TempFolder folder_;
};

// tests/golden/*.summaries.jsonl were made by tools/hf_reference.py summaries --device cuda with
// transformers 5.17 in float32 from the first 20 articles, which themselves may not be copied.
TEST_F(SummarizeCommandTest, GivesTransformersSummariesIdForId) {
  const auto articles = shared_path("cnn_dailymail/train_100.jsonl");
  QUERN_SKIP_WITHOUT(articles);
  for (const auto& [name, max_articles] :
       {std::pair("gpt2", 20), std::pair("llama", 4), std::pair("qwen2", 6)}) {
    const auto golden = std::filesystem::path(QUERN_SOURCE_DIR) / "tests" / "golden" /
                        (std::string(name) + ".summaries.jsonl");
    const Json json = summarize_json(
        "tale-" + std::string(name),
        {"--dataset", articles.string(), "--max-articles", std::to_string(max_articles),
         "--reference-file", golden.string(), "--max-rouge-drop", "0"});
    EXPECT_EQ(json["num_articles"], max_articles);
    EXPECT_EQ(json["prompt_style"], std::string(name) == "qwen2" ? "chat" : "tldr");
    EXPECT_EQ(json["token_agreement"]["num_compared"], max_articles) << name;
    EXPECT_EQ(json["token_agreement"]["num_same"], max_articles) << name;
    EXPECT_EQ(json["differences"]["rougeLsum"]["interval"], Json::parse("[0.0, 0.0]"));
  }
}

TEST_F(SummarizeCommandTest, ABatchChangesNothing) {
  const std::string data = data_set();
  const std::string one = (folder_ / "one.jsonl").string();
  const std::string two = (folder_ / "two.jsonl").string();
  const std::vector<std::string> common = {"--dataset", data, "-n", "12"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), common.begin(), common.end());
    return more;
  };
  summarize_json("tale-llama", with({"--batch_size", "1", "--output", one}));
  summarize_json("tale-llama", with({"--batch_size", "2", "--output", two}));
  EXPECT_EQ(read_file(one), read_file(two));
  const Json row = Json::parse(read_file(one).substr(0, read_file(one).find('\n')));
  EXPECT_EQ(row["highlights"], "A king.");
  EXPECT_EQ(row["output_ids"].size(), 12U);
  // One run's summaries are another's reference, and what `quern rouge` reads.
  const Json again = summarize_json("tale-llama", with({"--reference-file", one}));
  EXPECT_EQ(again["token_agreement"]["num_same"], 2);
  const Json rouge = json_of(run_quern({"rouge", "--predictions", one, "--references", data,
                                        "--reference-field", "highlights", "--json"}));
  EXPECT_EQ(rouge["scores"], again["engine"]["scores"]);
}

TEST_F(SummarizeCommandTest, RunsAReferenceOfOurOwnAndShowsTheFirstArticle) {
  const std::string data = data_set();
  const ChildResult result = run_quern({"summarize", "-m", model("tale-gpt2"), "--device", "cpu",
                                        "--dtype", "bfloat16", "--dataset", data, "-n", "8",
                                        "--reference", "cpu-float32", "--max-rouge-drop", "100"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.err, "");
  for (const char* part : {"Article : The king had three sons.", "Highlights : A king.",
                           "Summary by cpu-bfloat16 :", "Summary by cpu-float32 :", "2 articles",
                           "(total latency: ", "tokens/s", "rougeLsum", "95 % paired interval",
                           "token ids: ", "max-rouge-drop: ", ": holds"}) {
    EXPECT_NE(result.out.find(part), std::string::npos) << result.out << "lacks " << part;
  }
}

TEST_F(SummarizeCommandTest, ChecksExitWithThree) {
  const std::string data = data_set();
  const ChildResult low =
      run_summarize("tale-gpt2", {"--dataset", data, "-n", "4", "--check_accuracy",
                                  "--tensorrt_llm_rouge1_threshold", "99.5", "--json"});
  EXPECT_EQ(low.exit_code, 3) << low.err;
  EXPECT_EQ(Json::parse(low.out)["checks"][0]["holds"], false);
  // The reference says just what the highlights say, so ours is far below.
  const std::string reference =
      file("r.jsonl", "{\"text\": \"A king.\"}\n{\"text\": \"A fox.\"}\n");
  const ChildResult drop = run_summarize(
      "tale-gpt2",
      {"--dataset", data, "-n", "4", "--reference-file", reference, "--check-accuracy"});
  EXPECT_EQ(drop.exit_code, 3) << drop.err;
  EXPECT_NE(drop.out.find("the reference tells none"), std::string::npos) << drop.out;
}

TEST_F(SummarizeCommandTest, SamplesWhereAskedWithOneSeedForAll) {
  const std::string data = data_set();
  const auto sampled = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"--dataset", data, "-n", "8", "--top-k", "50"});
    return summarize_json("tale-gpt2", more);
  };
  const std::string first = (folder_ / "first.jsonl").string();
  EXPECT_EQ(sampled({"--output", first, "--seed", "7"})["seed"], 7);
  const Json json = sampled({"--reference-file", first, "--seed", "7"});
  EXPECT_EQ(json["token_agreement"]["num_same"], 2);
  EXPECT_TRUE(sampled({})["seed"].is_number());
  EXPECT_TRUE(summarize_json("tale-gpt2", {"--dataset", data, "-n", "2"})["seed"].is_null());
}

TEST_F(SummarizeCommandTest, AnArticleLongerThanTheContextKeepsItsEnd) {
  std::string article;
  for (int i = 0; i < 3000; ++i) article += "the king ";
  const std::string data =
      file("long.jsonl", "{\"article\": \"" + article + "\", \"highlights\": \"x\"}\n");
  const std::string output = (folder_ / "out.jsonl").string();
  summarize_json("tale-gpt2",
                 {"--dataset", data, "-n", "2", "--max-input-length", "64", "--output", output});
  const Json row = Json::parse(read_file(output));
  EXPECT_EQ(row["prompt_ids"].size(), 64U);
}

TEST_F(SummarizeCommandTest, NamesWhatIsWrong) {
  const std::string data = data_set();
  const auto fails = [&](std::vector<std::string> arguments, int exit_code,
                         std::initializer_list<std::string> parts) {
    expect_failure(run_summarize("tale-gpt2", std::move(arguments)), exit_code, parts);
  };
  fails({}, 2, {"--dataset"});
  fails({"--dataset", "/nowhere.jsonl"}, 1, {"/nowhere.jsonl"});
  fails({"--dataset", folder_.path().string()}, 1, {folder_.path().string(), "a file", "folder"});
  fails({"--dataset", file("bad.jsonl", "{\"article\": \"a\", \"highlights\": \"b\"}\n{\n")}, 1,
        {"bad.jsonl:2", "JSON"});
  fails({"--dataset", file("names.csv", "text,summary\na,b\n")}, 1,
        {"names.csv:2", "'article'", "'summary', 'text'", "--article-field"});
  fails({"--dataset", data, "--max-input-length", "1000"}, 2, {"--max-input-length 1000", "1024"});
  fails({"--dataset", data, "--prompt-style", "chat"}, 1, {"chat", "<|im_start|>"});
  fails({"--dataset", data, "--prompt-style", "story"}, 2, {"--prompt-style", "'story'", "tldr"});
  fails({"--dataset", data, "--reference", "cpu-float32", "--check-accuracy"}, 2,
        {"--reference cpu-float32", "that is what is tested"});
  fails({"--dataset", "-", "--reference-file", "-"}, 2, {"--dataset", "--reference-file", "once"});
  fails({"--dataset", data, "--reference", "cpu-int4"}, 2, {"--reference", "'cpu-int4'"});
  fails({"--dataset", data, "--reference", "cpu-float32", "--reference-file", data}, 2,
        {"--reference ", "--reference-file"});
  fails({"--dataset", data, "--check-accuracy"}, 2, {"--check-accuracy", "--rouge1-threshold"});
  fails({"--dataset", data, "--max-rouge-drop", "1"}, 2, {"--max-rouge-drop", "--reference"});
  fails({"--dataset", data, "--rouge1-threshold", "101"}, 2, {"--rouge1-threshold", "100"});
  fails(
      {"--dataset", data, "-n", "2", "--reference-file", file("one.jsonl", "{\"text\": \"a\"}\n")},
      1, {"one.jsonl", "expected 2 summaries", "got 1"});
  fails({"--dataset", data, "-n", "2", "--output", "/nowhere/out.jsonl"}, 1,
        {"/nowhere/out.jsonl", "cannot write"});
}

}  // namespace
}  // namespace quern::testing
