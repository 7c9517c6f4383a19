#include "tests/tools/quern/program_fixture.h"

namespace quern::testing {
namespace {

using Json = nlohmann::ordered_json;

class PerplexityCommandTest : public ProgramTest {
 protected:
  static ChildResult run_perplexity(std::vector<std::string> arguments) {
    const std::vector<std::string> head = {"perplexity", "-m", model("tale-gpt2"), "--device",
                                           "cpu"};
    arguments.insert(arguments.begin(), head.begin(), head.end());
    return run_quern(std::move(arguments));
  }
  static Json perplexity_json(std::vector<std::string> arguments) {
    arguments.emplace_back("--json");
    return json_of(run_perplexity(std::move(arguments)));
  }
  std::string text_file() {
    std::string text;
    for (int i = 0; i < 12; ++i) text += "Once upon a time there was a king who had three sons.\n";
    return write_file(folder_ / "text.txt", text).string();
  }

  TempFolder folder_;
};

// tools/hf_reference.py perplexity --window 256 --stride 100 --max-tokens 700, transformers 5.17.
TEST_F(PerplexityCommandTest, GivesHuggingFacesNumberOverWindows) {
  const auto wiki = shared_path("corpora/wiki.test.raw");
  QUERN_SKIP_WITHOUT(wiki);
  const Json json = perplexity_json(
      {"--file", wiki.string(), "--window", "256", "--stride", "100", "--max-tokens", "700"});
  EXPECT_EQ(json["num_tokens"], 700);
  EXPECT_EQ(json["num_scored"], 699);
  EXPECT_EQ(json["complete"], true);
  EXPECT_NEAR(json["perplexity"].get<double>() / 129247.91618113813, 1, 1e-4);
}

TEST_F(PerplexityCommandTest, ComparesWithSavedLogitsAndWithEngines) {
  const std::string text = text_file();
  const std::string saved = (folder_ / "logits.safetensors").string();
  const std::vector<std::string> windows = {"--file", text, "--window", "64", "--stride", "24"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), windows.begin(), windows.end());
    return more;
  };
  const Json whole = perplexity_json(with({"--save-logits", saved}));
  EXPECT_FALSE(whole.contains("against"));
  const Json same = perplexity_json(with({"--against", saved}))["against"];
  EXPECT_EQ(same["reference"], saved);
  EXPECT_EQ(same["kl"]["max"], 0);
  EXPECT_EQ(same["top1_agreement"], 1);
  EXPECT_EQ(same["perplexity_increase_percent"], 0);
  EXPECT_EQ(same["mean_nll"], whole["mean_nll"]);

  // A saved reference and the same engine at work must tell the same of a lossy dtype.
  const Json half = perplexity_json(with({"--dtype", "bfloat16", "--against", saved}));
  const Json live = perplexity_json(with({"--dtype", "bfloat16", "--against", "cpu-float32"}));
  EXPECT_EQ(half["engine"], "cpu-bfloat16");
  EXPECT_EQ(live["against"]["reference"], "cpu-float32");
  EXPECT_GT(half["against"]["kl"]["mean"], 0);
  EXPECT_EQ(half["against"]["kl"], live["against"]["kl"]);
  EXPECT_LE(half["against"]["kl"]["median"], half["against"]["kl"]["p99"]);
  EXPECT_NE(half["mean_nll"], whole["mean_nll"]);

  expect_failure(run_perplexity({"--file", text, "--against", saved}), 1,
                 {"logits.safetensors", "window and stride"});
  expect_failure(run_perplexity({"--file", text, "--window", "64", "--stride", "24", "--against",
                                 saved, "--max-tokens", "50"}),
                 1, {"logits.safetensors", "token_ids"});
  expect_failure(run_perplexity({"--file", text, "--against", text}), 1, {"text.txt"});
}

TEST_F(PerplexityCommandTest, GatesExitWithThree) {
  const std::string text = text_file();
  const std::vector<std::string> head = {"--file",   text,        "--dtype",
                                         "bfloat16", "--against", "cpu-float32"};
  const auto gated = [&](std::vector<std::string> more) {
    more.insert(more.begin(), head.begin(), head.end());
    return run_perplexity(more);
  };
  EXPECT_EQ(gated({"--max-kl", "1", "--max-perplexity-increase", "50"}).exit_code, 0);
  const ChildResult kl = gated({"--max-kl", "1e-9"});
  EXPECT_EQ(kl.exit_code, 3) << kl.err;
  EXPECT_NE(kl.out.find("max-kl"), std::string::npos);
  EXPECT_NE(kl.out.find("DOES NOT HOLD"), std::string::npos);
  const ChildResult increase = gated({"--max-perplexity-increase", "-99", "--json"});
  EXPECT_EQ(increase.exit_code, 3);
  EXPECT_EQ(Json::parse(increase.out)["checks"][0]["holds"], false);
}

TEST_F(PerplexityCommandTest, NamesWhatIsWrong) {
  const std::string text = text_file();
  const auto file = [&](const std::string& name, const std::string& content) {
    return write_file(folder_ / name, content).string();
  };
  expect_failure(run_perplexity({}), 2, {"--file"});
  expect_failure(run_perplexity({"--file", "/nowhere"}), 1, {"/nowhere"});
  expect_failure(run_perplexity({"--file", file("empty.txt", "")}), 1, {"empty.txt", "2 tokens"});
  expect_failure(run_perplexity({"--file", file("bytes.txt", "ab\xff")}), 1,
                 {"bytes.txt", "UTF-8", "offset 2"});
  expect_failure(run_perplexity({"--file", text, "--window", "2000"}), 2, {"--window", "1024"});
  expect_failure(run_perplexity({"--file", text, "--window", "8", "--stride", "9"}), 2,
                 {"--stride 9", "8"});
  expect_failure(run_perplexity({"--file", text, "--stride", "0"}), 2, {"--stride", "at least 1"});
  expect_failure(run_perplexity({"--file", text, "--max-kl", "1"}), 2, {"--max-kl", "--against"});
  expect_failure(run_perplexity({"--file", text, "--against", "cpu-float32", "--max-kl", "1"}), 2,
                 {"--against cpu-float32", "that is what is tested"});
  expect_failure(run_perplexity({"--file", text, "--against", "cpu-flaot32"}), 2,
                 {"--against", "cpu-flaot32", "cpu-float32"});
  expect_failure(run_perplexity({"--file", text, "--save-logits", folder_.path().string()}), 1,
                 {folder_.path().string(), "cannot write"});
}

TEST_F(PerplexityCommandTest, AnInterruptShowsWhatWasDone) {
  std::string text;
  for (int i = 0; i < 20000; ++i) text += "Once upon a time there was a king with three sons.\n";
  ChildOptions options;
  const std::string saved = (folder_ / "logits.safetensors").string();
  options.arguments = {"perplexity",
                       "-m",
                       model("tale-gpt2"),
                       "--device",
                       "cpu",
                       "--file",
                       write_file(folder_ / "long.txt", text).string(),
                       "--window",
                       "32",
                       "--stride",
                       "32",
                       "--json",
                       "--save-logits",
                       saved};
  options.terminal_errors = true;
  ChildProcess child(options);
  child.wait_for_errors("windows");
  child.send(2);
  const ChildResult result = child.finish();
  EXPECT_EQ(result.exit_code, 130);
  const Json json = Json::parse(result.out);
  EXPECT_EQ(json["complete"], false);
  EXPECT_GT(json["num_scored"], 0);
  EXPECT_LT(json["num_scored"], json["num_tokens"]);
  EXPECT_FALSE(std::filesystem::exists(saved));
}

}  // namespace
}  // namespace quern::testing
