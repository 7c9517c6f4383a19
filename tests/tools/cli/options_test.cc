#include "tests/tools/quern/program_fixture.h"

namespace quern::testing {
namespace {

using OptionsTest = ProgramTest;

constexpr int kUsage = 2;

TEST_F(OptionsTest, UnknownNamesGetTheNearestOne) {
  expect_failure(run_quern({"rnu"}), kUsage, {"'rnu'", "'run'"});
  expect_failure(run_quern({"run", "--promt", "a"}), kUsage, {"'--promt'", "'--prompt'"});
  expect_failure(run_quern({"run", "--max_nwe_tokens=3"}), kUsage,
                 {"'--max_nwe_tokens'", "'--max-new-tokens'"});
  expect_failure(run_quern({"run", "--xyzzy-plugh"}), kUsage, {"'--xyzzy-plugh'"});
  expect_failure(run_quern({"run", "-Z"}), kUsage, {"'-Z'"});
  expect_failure(run_quern({"run", "a text"}), kUsage, {"'a text'", "--prompt"});
  expect_failure(run_quern({"run", "--"}), kUsage, {"'--'"});
  expect_failure(run_quern({}), kUsage, {"quern --help"});
}

TEST_F(OptionsTest, UnderscoresAndOtherToolsSpellingsWork) {
  const auto expected = json_of(run_llama({"-p", "a_b", "-n", "5", "--json"}));
  const std::vector<std::vector<std::string>> spellings = {
      {"--prompt", "a_b", "--max-new-tokens", "5"},
      {"--prompt=a_b", "--max_new_tokens=5"},
      {"-pa_b", "--max_output_len", "5"},
      {"-p", "a_b", "--max-output-len=5"},
      {"--input_text", "a_b", "-n5", "--batch_size", "4"},
      {"-p", "a_b", "-n5", "--skip_step", "2"},
      {"-p", "a_b", "-n5", "--check_step", "1"},
      {"-p", "a_b", "-n5", "--max_seqs", "2"}};
  for (std::vector<std::string> arguments : spellings) {
    SCOPED_TRACE(arguments.back());
    arguments.emplace_back("--json");
    EXPECT_EQ(json_of(run_llama(arguments))["results"], expected["results"]);
  }
}

TEST_F(OptionsTest, ValuesMayBeginWithADash) {
  const auto json = json_of(run_llama({"-p", "--json", "--prompt", "-x", "-n", "3", "--json"}));
  EXPECT_EQ(json["results"][0]["prompt"], "--json");
  EXPECT_EQ(json["results"][1]["prompt"], "-x");
  EXPECT_EQ(run_llama({"-p", "a", "-n", "3", "--stop", "-\\n"}).exit_code, 0);
}

TEST_F(OptionsTest, ValuesAreTakenAsTheyAre) {
  const std::vector<std::string> texts = {"[INST] a, b [/INST]", "a_b=c", "'quoted'", "%%", "{}"};
  std::vector<std::string> arguments = {"-n", "1", "--json"};
  for (const std::string& text : texts) {
    arguments.emplace_back("-p");
    arguments.push_back(text);
  }
  const auto json = json_of(run_llama(arguments));
  for (std::size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(json["results"][i]["prompt"], texts[i]);
  }
}

TEST_F(OptionsTest, MissingAndUnwantedValues) {
  expect_failure(run_quern({"run", "--prompt"}), kUsage, {"--prompt", "value"});
  expect_failure(run_quern({"run", "--greedy=yes"}), kUsage, {"--greedy", "value"});
  expect_failure(run_llama({"-p", "a", "-n", "1", "-n", "2"}), kUsage,
                 {"--max-new-tokens", "twice"});
  expect_failure(run_quern({"run", "-m", "", "-p", "a"}), kUsage, {"--model", "''"});
  expect_failure(run_quern({"run", "-p", "a"}), kUsage, {"--model", "QUERN_MODEL"});
}

TEST_F(OptionsTest, ContradictionsNameBoth) {
  const std::vector<std::vector<std::string>> contradictions = {
      {"--greedy", "--temperature", "0.7"},
      {"--greedy", "--top-k", "5"},
      {"--greedy", "--top-p", "0.5"},
      {"--greedy", "--min-p", "0.5"},
      {"--temperature", "0", "--top-k", "5"},
      {"--prompt", "a", "--prompt-ids", "1"},
      {"--prompt", "a", "--prompt-file", "f"},
      {"--prompt-file", "f", "--prompts-file", "f"},
      {"--quiet", "--verbose"}};
  for (std::vector<std::string> arguments : contradictions) {
    std::vector<std::string> names;
    for (const std::string& argument : arguments) {
      if (argument.starts_with("--")) names.push_back(argument);
    }
    ASSERT_EQ(names.size(), 2U);
    if (names.front() == "--greedy" || names.front() == "--temperature") {
      arguments.insert(arguments.end(), {"-p", "a"});
    }
    expect_failure(run_llama(arguments), kUsage, {names.front(), names.back()});
  }
  expect_failure(run_llama({"-p", "a", "--logprobs", "2"}), kUsage, {"--logprobs", "--json"});
  expect_failure(run_llama({"-p", "a", "--device-loop", "require", "--profile"}), kUsage,
                 {"--device-loop", "--profile"});
  expect_failure(run_quern({"tokenize", "-m", "x", "--decode", "-p", "a"}), kUsage,
                 {"--decode", "--prompt"});
}

TEST_F(OptionsTest, AbsurdValuesNameOptionAndValue) {
  const std::vector<std::string> not_counts = {
      "0", "-1", "nan", "1e99", "ten", "", "99999999999999999999"};
  for (const char* option : {"--max-new-tokens", "--threads", "--max-seqs", "--max-seq-len",
                             "--max-tokens-per-step", "--check-interval", "--kv-cache-memory"}) {
    for (const std::string& value : not_counts) {
      expect_failure(run_llama({"-p", "a", option, value}), kUsage, {option, "'" + value + "'"});
    }
  }
  const std::vector<std::string> not_numbers = {"nan", "inf", "1e99", "ten", "", "-1e99"};
  for (const char* option : {"--temperature", "--top-p", "--min-p", "--repetition-penalty",
                             "--presence-penalty", "--frequency-penalty", "--top-k",
                             "--no-repeat-ngram-size", "--skip-steps", "--seed", "--logprobs"}) {
    for (const std::string& value : not_numbers) {
      expect_failure(run_llama({"-p", "a", option, value}), kUsage, {option, "'" + value + "'"});
    }
  }
  const std::vector<std::pair<std::string, std::string>> others = {{"--temperature", "-0.5"},
                                                                   {"--top-k", "-1"},
                                                                   {"--top-p", "2"},
                                                                   {"--top-p", "0"},
                                                                   {"--min-p", "1.5"},
                                                                   {"--repetition-penalty", "0"},
                                                                   {"--seed", "-1"},
                                                                   {"--logprobs", "21"},
                                                                   {"--device", "tpu"},
                                                                   {"--device", "cuda:x"},
                                                                   {"--device", "cuda:-1"},
                                                                   {"--dtype", "int8"},
                                                                   {"--device-loop", "on"},
                                                                   {"--prompt-ids", ""},
                                                                   {"--prompt-ids", "1,x"},
                                                                   {"--prompt-ids", "-1"},
                                                                   {"--prompt-ids", "99999999999"},
                                                                   {"--stop", ""},
                                                                   {"--logit-bias", "1"},
                                                                   {"--logit-bias", "1=nan"},
                                                                   {"--threads", "999999999"}};
  for (const auto& [option, value] : others) {
    expect_failure(run_llama({option, value}, "a"), kUsage, {option, "'" + value});
  }
}

TEST_F(OptionsTest, HelpFitsOneHundredColumns) {
  for (const char* command : {"", "run", "tokenize", "inspect", "logits", "env"}) {
    std::vector<std::string> arguments = {"--help"};
    if (*command != '\0') arguments.insert(arguments.begin(), command);
    const ChildResult result = run_quern(arguments);
    EXPECT_EQ(result.exit_code, 0);
    EXPECT_EQ(result.err, "");
    EXPECT_NE(result.out.find("Usage: quern "), std::string::npos);
    EXPECT_NE(result.out.find("quern ", result.out.find("Example")), std::string::npos);
    for (std::size_t begin = 0; begin < result.out.size();) {
      const std::size_t end = result.out.find('\n', begin);
      EXPECT_LE(end - begin, 104U) << result.out.substr(begin, end - begin);  // "…" is 3 bytes
      begin = end + 1;
    }
    EXPECT_EQ(run_quern({"help", command}).out.empty(), *command == '\0');
  }
}

TEST_F(OptionsTest, ModelComesFromTheEnvironmentToo) {
  ChildOptions options;
  options.arguments = {"tokenize", "-p", "a"};
  options.environment = {{"QUERN_MODEL", model("tale-llama")}};
  const ChildResult result = run_child(options);
  EXPECT_EQ(result.exit_code, 0) << result.err;
  options.environment = {{"QUERN_MODEL", "/nowhere"}};
  EXPECT_EQ(run_child(options).exit_code, 1);
  options.arguments.insert(options.arguments.end(), {"-m", model("tale-llama")});
  EXPECT_EQ(run_child(options).out, result.out);
}

}  // namespace
}  // namespace quern::testing
