#include <fmt/format.h>

#include "tests/tools/quern/program_fixture.h"

namespace quern::testing {
namespace {

class ShapeTest : public ProgramTest {
 protected:
  static ChildResult run_shape(std::vector<std::string> arguments) {
    const std::vector<std::string> head = {"run",      "--shape", "gpt_350m",      "--layers", "1",
                                           "--device", "cpu",     "--max-seq-len", "64"};
    arguments.insert(arguments.begin(), head.begin(), head.end());
    return run_quern(std::move(arguments));
  }
};

TEST_F(ShapeTest, AnswersAreIdsAndSayThatTheWeightsAreRandom) {
  const ChildResult text = run_shape({"--prompt-ids", "1,2", "-n", "3"});
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_NE(text.err.find("random weights"), std::string::npos) << text.err;
  const auto json = json_of(run_shape({"--prompt-ids", "1,2", "-n", "3", "--json"}));
  EXPECT_EQ(json["model"], "gpt_350m");
  EXPECT_EQ(json["weights"], "random");
  EXPECT_EQ(json["results"][0]["text"], "");
  const auto ids = json["results"][0]["output_ids"].get<std::vector<int>>();
  ASSERT_EQ(ids.size(), 3U);
  EXPECT_EQ(text.out, fmt::format("{}\n", fmt::join(ids, ",")));
  const ChildResult two = run_shape({"--prompt-ids", "1,2", "--prompt-ids", "9", "-n", "3"});
  EXPECT_EQ(two.out.substr(0, two.out.find("Input: \"9\"")),
            fmt::format("Input: \"1,2\"\nOutput: \"{}\"\n", fmt::join(ids, ",")));

  const auto inspected =
      json_of(run_quern({"inspect", "--shape", "llama_7b", "--max-seq-len", "64", "--max-seqs", "1",
                         "--layers", "2", "--dtype", "float16", "--device", "cpu", "--json"}));
  EXPECT_EQ(inspected["weights"], "random");
  EXPECT_EQ(inspected["num_hidden_layers"], 2);
  EXPECT_FALSE(
      json_of(run_quern({"inspect", "-m", model("tale-gpt2"), "--json"})).contains("weights"));
}

TEST_F(ShapeTest, MistakesAreUsageErrors) {
  expect_failure(run_shape({"-p", "text"}), 2, {"--shape", "--prompt-ids"});
  expect_failure(run_shape({"-m", model("tale-gpt2"), "--prompt-ids", "1"}), 2,
                 {"--shape", "--model"});
  expect_failure(run_quern({"run", "--shape", "lama_7b", "--prompt-ids", "1"}), 2,
                 {"'lama_7b'", "did you mean 'llama_7b'", "qwen3_0.6b"});
  expect_failure(run_quern({"run", "-m", model("tale-gpt2"), "-p", "a", "--layers", "2"}), 2,
                 {"--layers", "--shape"});
  expect_failure(run_quern({"inspect", "-m", model("tale-gpt2"), "--outliers"}), 2,
                 {"--outliers", "--shape"});
}

}  // namespace
}  // namespace quern::testing
