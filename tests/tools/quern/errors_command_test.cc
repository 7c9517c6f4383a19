// Models whose logits are not finite: what each command says of them, and its exit code.
#include "tests/support/changed_model.h"
#include "tests/tools/quern/program_fixture.h"

namespace quern::testing {
namespace {

using Json = nlohmann::ordered_json;

class ErrorsCommandTest : public ProgramTest {
 protected:
  /// A command on the model that overflows in float16, and its exit code and error line.
  ChildResult overflow(std::vector<std::string> arguments, int exit_code) {
    arguments.insert(arguments.begin() + 1,
                     {"-m", overflowing_.folder(), "--device", "cpu", "--dtype", "float16"});
    ChildResult result = run_quern(std::move(arguments));
    EXPECT_EQ(result.exit_code, exit_code) << result.err;
    return result;
  }
  static void expect_error_line(const ChildResult& result, const std::string& text) {
    const std::size_t begin = result.err.find("error: ");
    ASSERT_NE(begin, std::string::npos) << result.err;
    const std::string line = result.err.substr(begin, result.err.find('\n', begin) - begin);
    EXPECT_NE(line.find(text), std::string::npos) << line;
  }
  static const Json& check_called(const Json& checks, const std::string& name) {
    for (const Json& check : checks) {
      if (check["name"] == name) return check;
    }
    ADD_FAILURE() << "no check is called " << name << ": " << checks;
    return checks;
  }
  std::string file(const std::string& name, const std::string& content) {
    return write_file(folder_ / name, content).string();
  }
  std::string text_file() {
    return file("text.txt", "Once upon a time there was a king who had three sons.\n");
  }
  std::string data_set() {
    return file("tales.jsonl",
                "{\"article\": \"The king had sons.\", \"highlights\": \"A king.\"}\n");
  }

  TempFolder folder_;
  OverflowingModel overflowing_;
};

TEST_F(ErrorsCommandTest, RunTellsWhichPromptFailed) {
  const PoisonedModel poisoned;
  const std::vector<std::string> prompts = {
      "run", "-m", poisoned.folder(), "--device",  "cpu",          "--greedy",
      "-n",  "4",  "--prompt-ids",    "1,300,400", "--prompt-ids", "1,777,400"};
  std::vector<std::string> with_json = prompts;
  with_json.emplace_back("--json");
  const ChildResult result = run_quern(with_json);
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_NE(result.err.find("\nerror: prompt 2 of 2: non-finite logits"), std::string::npos)
      << result.err;
  EXPECT_EQ(result.err.rfind("warning: ", 0), 0U) << "of the weights: " << result.err;
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 2) << result.err;
  const Json results = Json::parse(result.out)["results"];
  EXPECT_NE(results[0]["finish_reason"], "error");
  EXPECT_FALSE(results[0].contains("error"));
  EXPECT_FALSE(results[0]["output_ids"].empty());
  EXPECT_EQ(results[1]["finish_reason"], "error");
  EXPECT_EQ(results[1]["output_ids"], Json::array());
  EXPECT_NE(result.err.find(results[1]["error"].get<std::string>()), std::string::npos);

  const ChildResult plain = run_quern(prompts);
  EXPECT_EQ(plain.exit_code, 1);
  EXPECT_NE(plain.out.find("Output: "), std::string::npos) << "the healthy prompt has its answer";
  expect_error_line(plain, "prompt 2 of 2");
}

TEST_F(ErrorsCommandTest, RunNamesOverflow) {
  const ChildResult result = overflow({"run", "-p", "Once upon a time", "-n", "4", "--quiet"}, 1);
  EXPECT_EQ(result.out, "\n");
  EXPECT_EQ(result.err, "error: non-finite logits; float16 overflow? try bfloat16\n");
}

TEST_F(ErrorsCommandTest, LogitsAreWrittenAndToldApart) {
  const std::string out = (folder_ / "logits.safetensors").string();
  const ChildResult result = overflow({"logits", "-p", "Once upon a time", "-o", out, "--json"}, 1);
  expect_error_line(result, "try bfloat16");
  EXPECT_TRUE(Json::parse(result.out)["perplexity"].is_null());
  EXPECT_TRUE(std::filesystem::exists(out));
}

TEST_F(ErrorsCommandTest, PerplexityFailsWithAndWithoutAGate) {
  const std::string text = text_file();
  expect_error_line(overflow({"perplexity", "--file", text}, 1), "non-finite logits for");
  const std::vector<std::vector<std::string>> gates = {
      {"--max-kl", "1e30"}, {"--max-perplexity-increase", "1e30"}, {"--min-top1-agreement", "0"}};
  for (std::vector<std::string> gate : gates) {
    SCOPED_TRACE(gate.front());
    gate.insert(gate.begin(), {"perplexity", "--file", text, "--against", "cpu-float32", "--json"});
    const ChildResult result = overflow(gate, 3);
    expect_error_line(result, "try bfloat16");
    const Json json = Json::parse(result.out);
    EXPECT_GT(json["num_nonfinite"], 0);
    EXPECT_EQ(check_called(json["checks"], "nonfinite-logits")["holds"], false);
    EXPECT_EQ(json["against"]["top1_agreement"], 0.0) << "no token is likeliest among NaN";
    EXPECT_TRUE(json["against"]["kl"]["median"].is_null());
  }
}

TEST_F(ErrorsCommandTest, SummarizeFailsWithAndWithoutAGate) {
  const std::vector<std::string> common = {"summarize", "--dataset", data_set(), "-n", "4"};
  expect_error_line(overflow(common, 1), "1 of 1 articles failed: non-finite logits");
  std::vector<std::string> gated = common;
  gated.insert(gated.end(), {"--rouge1-threshold", "0", "--json"});
  const ChildResult result = overflow(gated, 3);
  const Json json = Json::parse(result.out);
  EXPECT_EQ(json["engine"]["num_failed"], 1);
  EXPECT_EQ(check_called(json["checks"], "failed-summaries")["holds"], false);
  EXPECT_EQ(check_called(json["checks"], "rouge1-threshold")["holds"], true);
}

TEST_F(ErrorsCommandTest, AccuracyDoesNotPass) {
  const ChildResult result =
      overflow({"accuracy", "--dataset", data_set(), "--json", "--decode-steps", "0", "-p",
                "Once upon a time", "--file", text_file()},
               3);
  const Json json = Json::parse(result.out);
  EXPECT_EQ(json["passed"], false);
  EXPECT_EQ(check_called(json["checks"], "nonfinite-logits")["holds"], false);
  EXPECT_EQ(check_called(json["checks"], "failed-summaries")["holds"], false);
}

TEST_F(ErrorsCommandTest, BenchDoesNotTimeFailures) {
  const std::vector<std::string> cell = {"--input-output-len", "8,4", "--runs", "1"};
  std::vector<std::string> sweep = cell;
  sweep.insert(sweep.begin(), "bench");
  expect_error_line(overflow(sweep, 1), "non-finite logits");
  sweep.insert(sweep.end(), {"--stress", "0.2", "--warm-up", "0", "--rate", "50"});
  expect_error_line(overflow(sweep, 1), "non-finite logits");
}

}  // namespace
}  // namespace quern::testing
