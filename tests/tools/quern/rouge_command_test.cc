#include "tests/tools/quern/program_fixture.h"

namespace quern::testing {
namespace {

using Json = nlohmann::ordered_json;

class RougeCommandTest : public ::testing::Test {
 protected:
  std::string file(const std::string& name, const std::string& content) {
    return write_file(folder_ / name, content).string();
  }
  static Json rouge_json(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "rouge");
    arguments.emplace_back("--json");
    const ChildResult result = run_quern(arguments);
    EXPECT_EQ(result.exit_code, 0) << result.err;
    return Json::parse(result.out);
  }
  void expect_error(std::vector<std::string> arguments, int exit_code,
                    std::initializer_list<std::string> parts) {
    arguments.insert(arguments.begin(), "rouge");
    const ChildResult result = run_quern(arguments);
    EXPECT_EQ(result.exit_code, exit_code);
    EXPECT_EQ(result.out, "");
    for (const std::string& part : parts) {
      EXPECT_NE(result.err.find(part), std::string::npos) << result.err << "lacks " << part;
    }
  }

  TempFolder folder_;
};

// By hand: of the first pair's words two of three are predicted, and one of two bigrams.
TEST_F(RougeCommandTest, ScoresLinesAndJsonLinesAlike) {
  const std::string lines = file("p.txt", "the cat sits\n\n");
  const std::string rows = file("p.jsonl", "{\"text\": \"the cat sits\"}\n{\"text\": \"\"}\n");
  const std::string references = file("r.csv", "id,best\n1,the cat\n2,nothing predicted\n");
  for (const std::string& predictions : {lines, rows}) {
    const Json json = rouge_json({"--predictions", predictions, "--references", references,
                                  "--reference-field", "best", "--per-pair"});
    EXPECT_EQ(json["num_pairs"], 2);
    const Json& first = json["pairs"][0];
    EXPECT_DOUBLE_EQ(first["rouge1"]["precision"], 2.0 / 3);
    EXPECT_DOUBLE_EQ(first["rouge1"]["recall"], 1);
    EXPECT_DOUBLE_EQ(first["rouge1"]["fmeasure"], 0.8);
    EXPECT_DOUBLE_EQ(first["rouge2"]["precision"], 0.5);
    EXPECT_DOUBLE_EQ(json["pairs"][1]["rougeLsum"]["fmeasure"], 0);
    EXPECT_DOUBLE_EQ(json["scores"]["rouge1"]["fmeasure"], 0.4);
    EXPECT_EQ(json["scores"]["rouge1"]["fmeasure_interval"], Json::parse("[0.0, 0.8]"));
  }
  const Json short_json =
      rouge_json({"--predictions", lines, "--references", references, "--reference-field", "best"});
  EXPECT_FALSE(short_json.contains("pairs"));
}

TEST_F(RougeCommandTest, StemsWhereAskedAndTakesNewlinesAsSentences) {
  const std::string predictions = file("p.jsonl", R"({"text": "running dogs\nw1 w3"})");
  const std::string references = file("r.jsonl", R"({"text": "run dog\nw1 w2"})");
  const auto rouge1 = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--predictions", predictions, "--references", references});
    return rouge_json(arguments)["scores"]["rouge1"]["precision"].get<double>();
  };
  EXPECT_EQ(rouge1({}), 0.25);
  EXPECT_EQ(rouge1({"--stemmer"}), 0.75);
}

TEST_F(RougeCommandTest, ShowsPointsToPeople) {
  const std::string texts = file("p.txt", "one\ntwo\n");
  const ChildResult result =
      run_quern({"rouge", "--predictions", texts, "--references", texts, "--per-pair"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_NE(result.out.find("2 pairs, in points"), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("rouge1        100.00    100.00    100.00   100.00 to 100.00"),
            std::string::npos)
      << result.out;
}

TEST_F(RougeCommandTest, NamesFileLineAndTrouble) {
  const std::string good = file("good.txt", "one\ntwo\n");
  const std::string broken = file("broken.jsonl", "{\"text\": \"a\"}\n{\"text\": \n");
  const std::string other = file("other.jsonl", "{\"summary\": \"a\", \"id\": 3}\n");
  expect_error({"--predictions", broken, "--references", good}, 1, {"broken.jsonl:2", "JSON"});
  expect_error({"--predictions", other, "--references", good}, 1,
               {"other.jsonl:1", "'text'", "'id', 'summary'", "--prediction-field"});
  expect_error({"--predictions", other, "--references", good, "--prediction-field", "id"}, 1,
               {"other.jsonl:1", "'id'", "a string", "3"});
  expect_error({"--predictions", good, "--references", file("one.txt", "one")}, 1,
               {"good.txt has 2", "one.txt has 1"});
  expect_error({"--predictions", file("empty.txt", ""), "--references", file("none.txt", "")}, 1,
               {"empty.txt", "at least one"});
  expect_error({"--predictions", "/nowhere", "--references", good}, 1, {"/nowhere"});
  expect_error({"--predictions", file("bytes.txt", "a\n\xff"), "--references", good}, 1,
               {"bytes.txt:2", "UTF-8"});
  expect_error({"--references", good}, 2, {"--predictions"});
  expect_error({"--predictions", good}, 2, {"--references"});
  expect_error({"--predictions", good, "--references", ""}, 2, {"--references"});
}

}  // namespace
}  // namespace quern::testing
