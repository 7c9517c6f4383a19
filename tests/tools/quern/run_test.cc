#include <fstream>

#include "quern/devices.h"
#include "tests/tools/quern/program_fixture.h"

namespace quern::testing {
namespace {

using Json = nlohmann::ordered_json;

class RunTest : public ProgramTest {
 protected:
  static std::filesystem::path golden(const std::string& name) {
    return std::filesystem::path(QUERN_SOURCE_DIR) / "tests" / "golden" / (name + ".golden.json");
  }
  /// The only result of `quern run` with these arguments.
  static Json result_of(std::vector<std::string> arguments) {
    arguments.emplace_back("--json");
    return json_of(run_llama(std::move(arguments)))["results"].at(0);
  }
};

TEST_F(RunTest, BeamsAndSeveralAnswersAreInSequences) {
  QUERN_SKIP_WITHOUT(golden("llama"));
  const Json test_case = Json::parse(read_file(golden("llama")))["cases"][0];
  const Json result = result_of(
      {"-p", test_case["prompt"], "--num_beams", "4", "--num-return-sequences", "2", "-n", "40"});
  ASSERT_EQ(result["sequences"].size(), 2U);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(result["sequences"][i]["output_ids"], test_case["beam4_ids"][i]);
    EXPECT_NEAR(result["sequences"][i]["score"].get<double>(),
                test_case["beam4_scores"][i].get<double>(), 1e-3);
  }
  EXPECT_EQ(result["text"], result["sequences"][0]["text"]);
  EXPECT_EQ(result["score"], result["sequences"][0]["score"]);

  const Json samples = result_of({"-p", "Once", "--temperature", "1", "--seed", "3",
                                  "--num-return-sequences", "3", "-n", "8"});
  ASSERT_EQ(samples["sequences"].size(), 3U);
  EXPECT_FALSE(samples["sequences"][0].contains("score"));
  EXPECT_FALSE(result_of({"-p", "Once", "-n", "2"}).contains("sequences"));

  const auto text =
      run_llama({"-p", "Once", "--num-beams", "2", "--num-return-sequences", "2", "-n", "8", "-q"});
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_EQ(text.out.rfind("Input: \"Once\"\nOutput: \"", 0), 0U) << text.out;
}

TEST_F(RunTest, RefusesContradictionsOfBeams) {
  const auto refuses = [](std::vector<std::string> arguments, const std::string& text) {
    arguments.insert(arguments.end(), {"-p", "Once"});
    const auto result = run_llama(std::move(arguments));
    EXPECT_EQ(result.exit_code, 2) << result.err;
    EXPECT_NE(result.err.find(text), std::string::npos) << result.err;
  };
  refuses({"--num-beams", "2", "--temperature", "0.7"}, "--num-beams and --temperature");
  refuses({"--num-beams", "2", "--num-return-sequences", "3"}, "at most --num-beams, 2");
  refuses({"--length-penalty", "2"}, "--length-penalty needs --num-beams");
  refuses({"--num-beams", "2", "--early-stopping", "maybe"}, "expected off, on or never");
  refuses({"--greedy", "--num-return-sequences", "2"}, "--greedy and --num-return-sequences");
  refuses({"--stop-token-ids", "x"}, "--stop-token-ids");
}

TEST_F(RunTest, TokenRulesHold) {
  const Json free = result_of({"-p", "The king had", "--greedy", "-n", "20"});
  const Json stopped = result_of({"-p", "The king had", "--greedy", "-n", "20", "--stop-token-ids",
                                  std::to_string(free["output_ids"][4].get<int>())});
  EXPECT_LE(stopped["output_ids"].size(), 5U);
  EXPECT_EQ(stopped["finish_reason"], "stop");
  const Json longer =
      result_of({"-p", "The king had", "--greedy", "-n", "20", "--min-new-tokens", "12",
                 "--stop-token-ids", std::to_string(free["output_ids"][4].get<int>())});
  EXPECT_GE(longer["output_ids"].size(), 12U);
  const Json clean =
      result_of({"-p", "The king had", "--greedy", "-n", "20", "--bad-words", "daughter"});
  EXPECT_EQ(clean["text"].get<std::string>().find(" daughter"), std::string::npos);
}

TEST_F(RunTest, GreedyGivesHuggingFacesIdsOnAllFamilies) {
  const std::vector<std::pair<std::string, std::string>> families = {{"tale-gpt2", "gpt2"},
                                                                     {"tale-llama", "llama"},
                                                                     {"tale-qwen", "qwen2"},
                                                                     {"tale-qwen2", "qwen2"}};
  for (const auto& [folder, name] : families) {
    QUERN_SKIP_WITHOUT(golden(name));
    const Json cases = Json::parse(read_file(golden(name)))["cases"];
    std::vector<std::string> arguments = {"run", "-m", model(folder), "--greedy", "--json"};
    std::size_t longest = 0;
    for (const Json& one : cases) {
      longest = std::max(longest, one["greedy_ids"].size());
      arguments.emplace_back("--prompt");
      arguments.push_back(one["prompt"]);
    }
    arguments.insert(arguments.end(), {"-n", std::to_string(longest)});
    const auto results = json_of(run_quern(arguments))["results"];
    ASSERT_EQ(results.size(), cases.size());
    for (std::size_t i = 0; i < cases.size(); ++i) {
      EXPECT_EQ(results[i]["prompt_ids"], cases[i]["prompt_ids"]) << folder << " case " << i;
      EXPECT_EQ(results[i]["output_ids"], cases[i]["greedy_ids"]) << folder << " case " << i;
    }
  }
}

TEST_F(RunTest, EveryEndHasItsReason) {
  const Json whole = result_of({"-p", "Once upon a time", "-n", "12"});
  EXPECT_EQ(whole["finish_reason"], "length");
  EXPECT_EQ(whole["output_ids"].size(), 12U);

  const std::string text = whole["text"];
  const std::string stop = text.substr(text.size() / 2, 3);
  const Json stopped = result_of({"-p", "Once upon a time", "-n", "12", "--stop", stop});
  EXPECT_EQ(stopped["finish_reason"], "stop_string");
  EXPECT_EQ(stopped["text"], text.substr(0, text.find(stop)));
  const ChildResult streamed = run_llama({"-p", "Once upon a time", "-n", "12", "--stop", stop});
  EXPECT_EQ(streamed.out, stopped["text"].get<std::string>() + "\n");

  const Json full = result_of({"-p", "Once upon a time", "--max-seq-len", "10"});
  EXPECT_EQ(full["finish_reason"], "context");
  EXPECT_LE(full["prompt_ids"].size() + full["output_ids"].size(), 11U);

  // A bias that makes the end token certain.
  const Json ended = result_of({"-p", "Once upon a time", "--logit-bias", "2=1000"});
  EXPECT_EQ(ended["finish_reason"], "stop");
  EXPECT_EQ(ended["output_ids"], (std::vector<int>{2}));
  EXPECT_EQ(ended["text"], "");
  const Json kept = result_of(
      {"-p", "Once", "--logit-bias", "2=1000", "--keep-special", "--ignore-eos", "-n", "2"});
  EXPECT_EQ(kept["finish_reason"], "length");
  EXPECT_EQ(kept["text"], "</s></s>");
}

TEST_F(RunTest, GenerationConfigRulesUntilToldOtherwise) {
  const auto run_qwen2 = [](std::vector<std::string> arguments) {
    const std::vector<std::string> head = {
        "run", "-m", model("tale-qwen2"), "-p", "Once upon a time there was a", "-n", "24"};
    arguments.insert(arguments.begin(), head.begin(), head.end());
    return run_quern(arguments);
  };
  const ChildResult sampled = run_qwen2({"--seed", "5"});
  EXPECT_NE(sampled.err.find("seed 5"), std::string::npos) << sampled.err;
  EXPECT_EQ(run_qwen2({"--seed", "5"}).out, sampled.out);
  EXPECT_NE(run_qwen2({"--seed", "6"}).out, sampled.out);
  const ChildResult greedy = run_qwen2({"--greedy"});
  EXPECT_EQ(greedy.err.find("seed"), std::string::npos) << greedy.err;
  EXPECT_EQ(run_qwen2({"--temperature", "0"}).out, greedy.out);
  EXPECT_NE(run_qwen2({"--greedy", "--repetition-penalty", "3"}).out, greedy.out);

  // tale-llama's config does not sample; one sampling option turns it on.
  const ChildResult hot = run_llama({"-p", "The king", "-n", "24", "--top-k", "50", "--seed", "5"});
  EXPECT_NE(hot.err.find("seed 5"), std::string::npos) << hot.err;
  EXPECT_NE(hot.out, run_llama({"-p", "The king", "-n", "24"}).out);
}

TEST_F(RunTest, ARandomSeedIsToldAndReproduces) {
  const auto first = json_of(run_llama({"-p", "a", "-n", "9", "--top-k", "50", "--json"}));
  const auto again = json_of(
      run_llama({"-p", "a", "-n", "9", "--top-k", "50", "--json", "--seed", first["seed"].dump()}));
  EXPECT_EQ(first["results"], again["results"]);
  EXPECT_NE(first["seed"], json_of(run_llama({"-p", "a", "-n", "1", "--json"}))["seed"]);
}

TEST_F(RunTest, AProfileIsATableForPeopleAndAKeyForPrograms) {
  const auto json = json_of(run_llama({"-p", "Once", "-n", "5", "--profile", "--json"}));
  const auto& profile = json["profile"];
  EXPECT_GT(profile["read_gbps"], 0);
  EXPECT_EQ(profile["prefill"]["num_steps"], 1);
  EXPECT_EQ(profile["decode"]["num_steps"], 4);
  EXPECT_EQ(profile["decode"]["nodes"][0]["kind"], "embed");
  const ChildResult plain = run_llama({"-p", "Once", "-n", "5", "--profile"});
  for (const char* part : {"read bandwidth", "prefill, per step of 1", "decode, per step of 4",
                           "attention", "GB/s", "all"}) {
    EXPECT_NE(plain.err.find(part), std::string::npos) << plain.err;
  }
  EXPECT_EQ(plain.out, run_llama({"-p", "Once", "-n", "5"}).out);
}

TEST_F(RunTest, TheDeviceLoopIsOfGpus) {
  expect_failure(run_llama({"-p", "a", "--device-loop", "require"}), 1, {"device_loop", "CPU"});
  EXPECT_EQ(json_of(run_llama(
                {"-p", "a", "-n", "2", "--device-loop", "off", "--json"}))["timing"]["loop"],
            "host");
}

TEST_F(RunTest, TheLookRuleShowsInTheCounts) {
  const auto timing = [](const char* skip, const char* interval) {
    const auto json =
        json_of(run_llama({"-p", "Once upon a time", "-n", "20", "--logit-bias", "2=-99",
                           "--skip-steps", skip, "--check-interval", interval, "--json"}));
    EXPECT_EQ(json["results"][0]["output_ids"].size(), 20U);
    return json["timing"];
  };
  EXPECT_EQ(timing("0", "1")["stop_checks"], 20);
  EXPECT_EQ(timing("8", "4")["stop_checks"], 4);  // after 8, 12, 16 and 20
  EXPECT_EQ(timing("0", "7")["stop_checks"], 3);  // after 7, 14 and at the limit
  EXPECT_EQ(timing("8", "4")["steps_run"], 20);
}

TEST_F(RunTest, BadModelsAreOneError) {
  const auto run_on = [](const std::string& folder) {
    return run_quern({"run", "-m", folder, "-p", "a", "-n", "1"});
  };
  const TempFolder folder;
  expect_failure(run_on("/nowhere/at/all"), 1, {"/nowhere/at/all"});
  expect_failure(run_on("org/not-in-the-cache"), 1, {"org/not-in-the-cache"});
  expect_failure(run_on(folder.path().string()), 1, {folder.path().string()});
  expect_failure(run_on(write_file(folder / "model.gguf", "GGUF").string()), 1, {"GGUF"});

  std::filesystem::copy(model("tale-llama"), folder / "copy");
  const std::filesystem::path weights = folder / "copy" / "model.safetensors";
  std::filesystem::permissions(weights, std::filesystem::perms::owner_write,
                               std::filesystem::perm_options::add);
  std::filesystem::resize_file(weights, 100000);
  expect_failure(run_on((folder / "copy").string()), 1, {"model.safetensors"});
  write_file(weights, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n");
  expect_failure(run_on((folder / "copy").string()), 1, {"model.safetensors", "LFS"});
  std::filesystem::remove(weights);
  write_file(folder / "copy" / "pytorch_model.bin", "PK");
  expect_failure(run_on((folder / "copy").string()), 1, {"pytorch_model.bin"});
}

TEST_F(RunTest, CudaIsRefusedWithTheCauseWhereThereIsNoGpu) {
  if (query_cuda().unavailable_reason.empty()) GTEST_SKIP() << "this machine has a GPU";
  expect_failure(run_llama({"-p", "a", "--device", "cuda"}), 1, {"CUDA"});
  EXPECT_EQ(run_llama({"-p", "a", "-n", "1", "--device", "auto"}).exit_code, 0);
}

}  // namespace
}  // namespace quern::testing
