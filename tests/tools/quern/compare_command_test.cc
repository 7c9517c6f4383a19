#include "tests/tools/quern/program_fixture.h"

namespace quern::testing {
namespace {

class CompareCommand : public ProgramTest {
 protected:
  static ChildResult compare(std::vector<std::string> arguments) {
    const std::vector<std::string> head = {
        "compare", "-m", model("tale-llama"), "-p", "three sons", "--device", "cpu"};
    arguments.insert(arguments.begin(), head.begin(), head.end());
    return run_quern(std::move(arguments));
  }
};

TEST_F(CompareCommand, TellsEveryValueAsTextAndJson) {
  const std::vector<std::string> dtypes = {"--dtype", "bfloat16", "--reference-dtype", "float32"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), dtypes.begin(), dtypes.end());
    return more;
  };
  const ChildResult text =
      compare(with({"--decode-steps", "1", "--max-tokens-per-step", "2", "--all"}));
  EXPECT_EQ(text.exit_code, 0) << text.err;
  for (const char* part :
       {"Step 0: 2 tokens of 1 prompt", "1 decoding", "layers.3.attention.keys", "logits", "NMSE",
        "cpu bfloat16 against cpu float32", "held to no bound"}) {
    EXPECT_NE(text.out.find(part), std::string::npos) << part;
  }
  const auto json = json_of(compare(with({"--json", "--max-nmse", "1"})));
  EXPECT_EQ(json["reference"]["device"], "cpu");
  EXPECT_EQ(json["first_over_bound"], nullptr);
  EXPECT_EQ(json["complete"], true);
  const auto& first = json["values"][0];
  EXPECT_EQ(first["node"], "embed");
  EXPECT_EQ(first["op"], "Embed");
  EXPECT_EQ(first["shape"][1], 192);
  EXPECT_EQ(first["max_nmse"], 1.0);

  // Without --all: what is worst, and the verdict.
  const ChildResult summary = compare(with({"--decode-steps", "1", "--max-nmse", "1"}));
  EXPECT_EQ(summary.exit_code, 0) << summary.err;
  EXPECT_NE(summary.out.find("The 5 worst of "), std::string::npos) << summary.out;
  EXPECT_NE(summary.out.find("none over its bound"), std::string::npos) << summary.out;
  EXPECT_LT(std::count(summary.out.begin(), summary.out.end(), '\n'), 16);
  double worst = 0;
  std::string name;
  const auto whole = json_of(compare(with({"--decode-steps", "1", "--json"})));
  for (const auto& value : whole["values"]) {
    if (value["nmse"].get<double>() <= worst) continue;
    worst = value["nmse"].get<double>();
    name = value["value"].get<std::string>();
  }
  EXPECT_NE(summary.out.find(name), std::string::npos) << name << " is missing: " << summary.out;
}

TEST_F(CompareCommand, AnEngineIsNotComparedWithItself) {
  for (const std::vector<std::string>& arguments :
       std::vector<std::vector<std::string>>{{},
                                             {"--free-running"},
                                             {"--reference-dtype", "float32"},
                                             {"--reference-device", "cpu"},
                                             {"--max-nmse", "1"}}) {
    expect_failure(compare(arguments), 2, {"cpu-float32", "itself", "--reference-dtype"});
  }
}

TEST_F(CompareCommand, ABoundThatDoesNotHoldIsExitCode3) {
  const std::vector<std::string> drift = {"--dtype", "float16", "--reference-dtype", "float32",
                                          "--free-running"};
  const ChildResult reported = compare(drift);
  EXPECT_EQ(reported.exit_code, 0) << reported.err;
  EXPECT_NE(reported.out.find("held to no bound"), std::string::npos);
  std::vector<std::string> held = drift;
  held.insert(held.end(), {"--max-nmse", "1e-9"});
  const ChildResult over = compare(held);
  EXPECT_EQ(over.exit_code, 3) << over.err;
  EXPECT_NE(over.out.find("OVER ITS BOUND"), std::string::npos);
  EXPECT_NE(over.out.find("values over bound"), std::string::npos);
  EXPECT_NE(over.out.find("first over its bound: "), std::string::npos);
}

TEST_F(CompareCommand, MistakesAreUsageErrors) {
  expect_failure(compare({"--reference", "x.safetensors"}), 2, {"--reference", "--prompt"});
  expect_failure(run_quern({"compare", "-m", model("tale-llama"), "--reference", "x.safetensors",
                            "--free-running"}),
                 2, {"--reference", "--free-running"});
  expect_failure(compare({"--reference-dtype", "int8"}), 2,
                 {"--reference-dtype", "same", "'int8'"});
  expect_failure(compare({"--max-seqs", "4"}), 2, {"--max-seqs"});
  expect_failure(compare({"--decode-steps", "-1"}), 2, {"--decode-steps"});
  expect_failure(run_quern({"compare", "--shape", "gpt_350m", "-p", "text"}), 2,
                 {"--shape", "--prompt-ids"});
  expect_failure(
      run_quern({"compare", "-m", model("tale-llama"), "--reference", "/nowhere.safetensors"}), 1,
      {"/nowhere.safetensors"});
}

}  // namespace
}  // namespace quern::testing
