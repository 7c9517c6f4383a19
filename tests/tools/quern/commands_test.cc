#include <cmath>
#include <cstring>

#include "quern/engine.h"
#include "quern/safetensors.h"
#include "tests/runtime/golden.h"
#include "tests/tools/quern/program_fixture.h"

namespace quern::testing {
namespace {

using Json = nlohmann::ordered_json;
using CommandsTest = ProgramTest;

std::filesystem::path golden(const std::string& name) {
  return std::filesystem::path(QUERN_SOURCE_DIR) / "tests" / "golden" / name;
}

std::string joined(const nlohmann::json& ids) {
  std::string text;
  for (const auto& id : ids) text += (text.empty() ? "" : ",") + id.dump();
  return text;
}

TEST_F(CommandsTest, TokenizeAndBack) {
  const std::string m = model("tale-llama");
  const auto ids = json_of(run_quern({"tokenize", "-m", m, "-p", "three sons", "--json"}));
  EXPECT_EQ(ids, Json({{"ids", {1, 774, 669, 1994}}}));
  EXPECT_EQ(run_quern({"tokenize", "-m", m, "-p", "three sons"}).out, "1,774,669,1994\n");
  const Json text = {{"text", "three sons"}};
  const std::vector<std::vector<std::string>> ways = {
      {"--decode", "1,774,669,1994"},
      {"--decode=1,774,669,1994"},
      {"--decode", "--prompt-ids", "1,774,669,1994"}};
  for (std::vector<std::string> way : ways) {
    way.insert(way.begin(), {"tokenize", "-m", m, "--json"});
    EXPECT_EQ(json_of(run_quern(way)), text);
  }
  EXPECT_EQ(run_quern({"tokenize", "-m", m, "--decode"}, "1,774,669,1994\n").out, "three sons\n");
  const ChildResult kept = run_quern({"tokenize", "-m", m, "--decode", "1,774", "--keep-special"});
  EXPECT_EQ(kept.out.find("<s>"), 0U) << kept.out;
  const auto many = json_of(run_quern({"tokenize", "-m", m, "-p", "a", "-p", "b", "--json"}));
  EXPECT_EQ(many["results"].size(), 2U);
  EXPECT_EQ(run_quern({"tokenize", "-m", m, "-p", ""}).out, "1\n");

  EXPECT_EQ(run_quern({"tokenize", "-m", m, "--decode", "999999"}).out, "\n")
      << "no text, as in Hugging Face's decode";
  expect_failure(run_quern({"tokenize", "-m", m, "--decode"}, "not ids"), 1, {"not ids"});
  expect_failure(run_quern({"tokenize", "-m", "/nowhere", "-p", "a"}), 1, {"/nowhere"});
}

TEST_F(CommandsTest, InspectTellsSizesEndsAndMemory) {
  const std::string m = model("tale-qwen2");
  const auto json =
      json_of(run_quern({"inspect", "-m", m, "--json", "--graph", "--max-seqs", "2"}));
  EXPECT_EQ(json["model_type"], "qwen2");
  EXPECT_EQ(json["hidden_size"], 192);
  EXPECT_EQ(json["num_hidden_layers"], 4);
  EXPECT_EQ(json["limits"]["max_seqs"], 2);
  EXPECT_NE(json["graph"].get<std::string>().find("layers.3.attention"), std::string::npos);
  std::uint64_t sum = 0;
  for (const char* part : {"weight_bytes", "kv_cache_bytes", "activation_bytes", "workspace_bytes",
                           "step_input_bytes", "recording_bytes"}) {
    sum += json["memory_plan"][part].get<std::uint64_t>();
  }
  EXPECT_EQ(json["memory_plan"]["total_bytes"], sum);
  ASSERT_EQ(json["eos_token_ids"].size(), 2U);
  EXPECT_EQ(json["eos_token_ids"][1]["id"], 1842);
  EXPECT_EQ(json["eos_token_ids"][1]["token"], "<|im_end|>");
  EXPECT_NE(json["eos_token_ids"][1]["sources"].get<std::string>().find("generation_config.json"),
            std::string::npos);

  const ChildResult plain = run_quern({"inspect", "-m", m});
  EXPECT_EQ(plain.err, "");
  for (const char* part : {"qwen2", "<|im_end|>", "KV cache", "MiB", "2,559,936"}) {
    EXPECT_NE(plain.out.find(part), std::string::npos) << part;
  }
  EXPECT_EQ(plain.out.find("layers.3.attention"), std::string::npos);
  EXPECT_NE(run_quern({"inspect", "-m", m, "--graph"}).out.find("layers.3.attention"),
            std::string::npos);
  expect_failure(run_quern({"inspect", "-m", "/nowhere"}), 1, {"/nowhere"});
}

TEST_F(CommandsTest, InspectsAFolderWithoutATokenizer) {
  const TempFolder folder;
  for (const char* name : {"config.json", "generation_config.json", "model.safetensors"}) {
    std::filesystem::copy_file(models() / "tale-qwen2" / name, folder / name);
  }
  const auto json = json_of(run_quern({"inspect", "-m", folder.path().string(), "--json"}));
  EXPECT_EQ(json["tokenizer"], "none");
  EXPECT_EQ(json["eos_token_ids"][1]["id"], 1842);
  EXPECT_EQ(json["eos_token_ids"][1]["token"], "");
  EXPECT_EQ(run_quern({"inspect", "-m", folder.path().string()}).exit_code, 0);
}

TEST_F(CommandsTest, LogitsAreHuggingFaces) {
  const std::vector<std::pair<std::string, std::string>> families = {{"tale-gpt2", "gpt2"},
                                                                     {"tale-llama", "llama"},
                                                                     {"tale-qwen", "qwen2"},
                                                                     {"tale-qwen2", "qwen2"}};
  const TempFolder folder;
  for (const auto& [model_name, name] : families) {
    QUERN_SKIP_WITHOUT(golden(name + ".logits.safetensors"));
    const std::string file = (folder / (model_name + ".safetensors")).string();
    const auto json = json_of(run_quern({"logits", "-m", model(model_name), "-p",
                                         "The king had three sons.", "--output", file, "--json"}));
    const SafetensorsFile expected = SafetensorsFile::open(golden(name + ".logits.safetensors"));
    const SafetensorsFile actual = SafetensorsFile::open(file);
    ASSERT_EQ(actual.entries().size(), 1U);
    EXPECT_EQ(actual.entries()[0].name, "logits");
    EXPECT_EQ(json["shape"], actual.entries()[0].shape);
    const auto actual_data = actual.read(actual.entries()[0]);
    const auto expected_data = expected.read(expected.entries()[0]);
    ASSERT_EQ(actual_data.size(), expected_data.size());
    float worst = 0;
    float largest = 0;
    for (std::size_t i = 0; i < actual_data.size(); i += sizeof(float)) {
      float left = 0;
      float right = 0;
      std::memcpy(&left, actual_data.data() + i, sizeof left);
      std::memcpy(&right, expected_data.data() + i, sizeof right);
      worst = std::max(worst, std::abs(left - right));
      largest = std::max(largest, std::abs(right));
    }
    EXPECT_LT(worst, logit_tolerance(quern::inspect(model(model_name)).info, largest))
        << model_name;
  }
}

TEST_F(CommandsTest, PerplexityIsHuggingFaces) {
  const std::vector<std::pair<std::string, std::string>> families = {{"tale-gpt2", "gpt2"},
                                                                     {"tale-llama", "llama"},
                                                                     {"tale-qwen", "qwen2"},
                                                                     {"tale-qwen2", "qwen2"}};
  for (const auto& [model_name, name] : families) {
    QUERN_SKIP_WITHOUT(golden(name + ".golden.json"));
    const nlohmann::json file = read_golden(name);
    const auto& expected = file["perplexity"];
    const auto json = json_of(run_quern({"logits", "-m", model(model_name), "--prompt-ids",
                                         joined(expected["token_ids"]), "--json"}));
    EXPECT_NEAR(json["mean_nll"].get<double>(), expected["mean_nll"].get<double>(),
                logit_tolerance(quern::inspect(model(model_name)).info, largest_logit(file)))
        << model_name;
    EXPECT_NEAR(json["perplexity"], std::exp(expected["mean_nll"].get<double>()), 1e-2);
    EXPECT_EQ(json["output"], nullptr);
  }
}

TEST_F(CommandsTest, LogitsOfOneTokenAndBadRequests) {
  const std::string m = model("tale-llama");
  const auto json = json_of(run_quern({"logits", "-m", m, "--prompt-ids", "1", "--json"}));
  EXPECT_EQ(json["shape"], (std::vector<int>{1, 2048}));
  EXPECT_EQ(json["mean_nll"], nullptr);
  expect_failure(run_quern({"logits", "-m", m, "-p", "a", "-o", "/nowhere/x"}), 1, {"/nowhere/x"});
  expect_failure(run_quern({"logits", "-m", m, "-p", "a", "-p", "b"}), 1, {"one prompt", "2"});
  expect_failure(run_quern({"logits", "-m", m, "-p", ""}), 1, {"prompt"});
}

TEST_F(CommandsTest, EnvAndVersionAgree) {
  const ChildResult line = run_quern({"--version"});
  const ChildResult env = run_quern({"env"});
  EXPECT_EQ(line.exit_code, 0);
  EXPECT_EQ(line.out.substr(0, 6), "quern ");
  EXPECT_EQ(env.out.substr(0, line.out.size()), line.out);
  const auto json = json_of(run_quern({"env", "--json"}));
  for (const char* key : {"version", "commit", "compiler", "cuda", "cublas", "driver", "gpus",
                          "cpu", "memory_bytes"}) {
    EXPECT_TRUE(json.contains(key)) << key;
  }
  const auto version = json_of(run_quern({"--version", "--json"}));
  EXPECT_EQ(version["version"], json["version"]);
  EXPECT_NE(line.out.find(version["version"].get<std::string>()), std::string::npos);
}

}  // namespace
}  // namespace quern::testing
