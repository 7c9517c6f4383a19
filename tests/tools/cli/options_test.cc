#include "tests/tools/quern/program_fixture.h"

namespace quern::testing {
namespace {

using OptionsTest = ProgramTest;

constexpr int kUsage = 2;

std::string fmt_width(std::size_t width, const char* command) {
  return "quern " + std::string(command) + " --help at " + std::to_string(width) + " columns";
}

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

TEST_F(OptionsTest, DeterministicIsAFlagThatTheCpuTakes) {
  const std::vector<std::string> arguments = {"-p", "a", "-n", "4", "--device", "cpu", "--json"};
  std::vector<std::string> deterministic = arguments;
  deterministic.insert(deterministic.end(), {"--deterministic", "--quantize", "int8"});
  std::vector<std::string> plain = arguments;
  plain.insert(plain.end(), {"--quantize", "int8"});
  EXPECT_EQ(json_of(run_llama(deterministic))["results"], json_of(run_llama(plain))["results"]);
  expect_failure(run_llama({"-p", "a", "--deterministic=yes"}), kUsage,
                 {"--deterministic", "value"});
}

TEST_F(OptionsTest, ContradictionsNameBoth) {
  const std::vector<std::vector<std::string>> contradictions = {
      {"--greedy", "--temperature", "0.7"},
      {"--greedy", "--top-k", "5"},
      {"--greedy", "--top-p", "0.5"},
      {"--greedy", "--min-p", "0.5"},
      {"--greedy", "--mirostat-tau", "5"},
      {"--mirostat-tau", "5", "--top-k", "5"},
      {"--temperature", "0", "--mirostat-tau", "5"},
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
    if (names.front() == "--greedy" || names.front() == "--temperature" ||
        names.front() == "--mirostat-tau") {
      arguments.insert(arguments.end(), {"-p", "a"});
    }
    expect_failure(run_llama(arguments), kUsage, {names.front(), names.back()});
  }
  for (const char* option : {"--logprobs", "--prompt-logprobs"}) {
    expect_failure(run_llama({"-p", "a", option, "2"}), kUsage, {option, "--json"});
  }
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
  for (const char* option : {"--temperature",
                             "--top-p",
                             "--min-p",
                             "--repetition-penalty",
                             "--presence-penalty",
                             "--frequency-penalty",
                             "--top-k",
                             "--no-repeat-ngram-size",
                             "--skip-steps",
                             "--seed",
                             "--logprobs",
                             "--top-n-sigma",
                             "--typical-p",
                             "--epsilon-cutoff",
                             "--eta-cutoff",
                             "--xtc-probability",
                             "--xtc-threshold",
                             "--mirostat-tau",
                             "--mirostat-eta",
                             "--dry-multiplier",
                             "--dry-base",
                             "--dry-allowed-length",
                             "--dry-range"}) {
    for (const std::string& value : not_numbers) {
      expect_failure(run_llama({"-p", "a", option, value}), kUsage, {option, "'" + value + "'"});
    }
  }
  const std::vector<std::pair<std::string, std::string>> others = {
      {"--temperature", "-0.5"},
      {"--top-k", "-1"},
      {"--top-p", "2"},
      {"--top-p", "0"},
      {"--min-p", "1.5"},
      {"--repetition-penalty", "0"},
      {"--seed", "-1"},
      {"--logprobs", "21"},
      {"--prompt-logprobs", "21"},
      {"--epsilon-cutoff", "1"},
      {"--eta-cutoff", "-0.1"},
      {"--typical-p", "0"},
      {"--dry-base", "0.5"},
      {"--dry-allowed-length", "0"},
      {"--device", "tpu"},
      {"--device", "cuda:x"},
      {"--device", "cuda:-1"},
      {"--dtype", "int8"},
      {"--quantize", "int3"},
      {"--quantize-activations", "row"},
      {"--kv-cache-dtype", "int4"},
      {"--kv-cache-dtype", ""},
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

TEST_F(OptionsTest, W8A8SaysWhatInputsAreRoundedTo) {
  const std::vector<std::string> w8a8 = {"-p", "a", "-n", "2", "--quantize", "w8a8"};
  EXPECT_EQ(run_llama(w8a8).exit_code, 0);
  for (const bool is_first : {true, false}) {
    std::vector<std::string> both = {"--quantize-activations", "token"};
    both.insert(is_first ? both.end() : both.begin(), w8a8.begin(), w8a8.end());
    expect_failure(run_llama(both), kUsage, {"--quantize w8a8", "--quantize-activations"});
  }
}

TEST_F(OptionsTest, OtherEnginesSpellingsAreTakenOrExplained) {
  const auto expected = json_of(run_llama({"-p", "a", "-n", "5", "--json"}))["results"];
  const std::vector<std::vector<std::string>> taken = {{"--temp", "0"},
                                                       {"--mirostat-lr", "0.2"},
                                                       {"-c", "64"},
                                                       {"--ctx-size=64"},
                                                       {"-t", "1"},
                                                       {"-t1"},
                                                       {"-np", "2"},
                                                       {"-s", "3"},
                                                       {"--max-model-len", "64"},
                                                       {"--max_num_seqs", "2"},
                                                       {"--dtype", "fp32"},
                                                       {"--dtype", "f32"},
                                                       {"--data_type", "float32"},
                                                       {"--random_seed", "4"},
                                                       {"-ub", "32"}};
  for (std::vector<std::string> arguments : taken) {
    SCOPED_TRACE(arguments.front());
    arguments.insert(arguments.end(), {"-p", "a", "-n", "5", "--json"});
    EXPECT_EQ(json_of(run_llama(arguments))["results"], expected);
  }
  EXPECT_EQ(json_of(run_llama({"-p", "a", "--n-predict", "5", "--json"}))["results"], expected);
  EXPECT_EQ(json_of(run_llama({"-p", "a", "--max-tokens", "5", "--json"}))["results"], expected);
  for (const auto& [name, dtype] : std::vector<std::pair<std::string, std::string>>{
           {"fp16", "float16"}, {"half", "float16"}, {"f16", "float16"}, {"bf16", "bfloat16"}}) {
    const auto json = json_of(run_llama({"-p", "a", "-n", "1", "--dtype", name, "--json"}));
    EXPECT_EQ(json["dtype"], dtype);
  }
  const std::vector<std::pair<std::vector<std::string>, std::string>> explained = {
      {{"-ngl", "99"}, "--device cuda"},
      {{"--n_gpu_layers=99"}, "--device cuda"},
      {{"--repeat-penalty", "1.1"}, "--repetition-penalty"},
      {{"--gpu-memory-utilization", "0.9"}, "--kv-cache-memory"},
      {{"-hf", "org/name"}, "hf download"},
      {{"--trust-remote-code"}, "no code"},
      {{"--max_length", "20"}, "--max-new-tokens"}};
  for (const auto& [arguments, hint] : explained) {
    const std::string name = arguments.front().substr(0, arguments.front().find('='));
    expect_failure(run_llama(arguments), kUsage, {"'" + name + "'", hint});
  }
  // Where our option is missing, theirs is unknown too; -f is perplexity's own.
  expect_failure(run_quern({"tokenize", "-t", "4"}), kUsage, {"'-t'"});
  expect_failure(run_quern({"perplexity", "-m", model("tale-llama"), "-f", "/nowhere"}), 1,
                 {"/nowhere"});
}

TEST_F(OptionsTest, NoHintSuggestsHelp) {
  for (const char* option : {"--hep", "--hlep", "--elp", "--helpp"}) {
    const ChildResult result = run_quern({"run", option});
    expect_failure(result, kUsage, {std::string("'") + option + "'"});
    EXPECT_EQ(result.err.find("'--help'"), std::string::npos) << result.err;
  }
}

/// Columns of a line in UTF-8.
std::size_t columns_of(std::string_view line) {
  return static_cast<std::size_t>(
      std::count_if(line.begin(), line.end(), [](char byte) { return (byte & 0xC0) != 0x80; }));
}

TEST_F(OptionsTest, HelpFitsTheTerminal) {
  for (const std::size_t width : {60U, 80U, 120U, 0U}) {
    for (const char* command : {"", "run", "tokenize", "inspect", "logits", "env", "summarize",
                                "perplexity", "accuracy", "rouge", "compare", "bench"}) {
      SCOPED_TRACE(fmt_width(width, command));
      ChildOptions options;
      options.arguments = {"--help"};
      if (*command != '\0') options.arguments.insert(options.arguments.begin(), command);
      if (width != 0) options.environment = {{"COLUMNS", std::to_string(width)}};
      const ChildResult result = run_child(options);
      EXPECT_EQ(result.exit_code, 0);
      EXPECT_EQ(result.err, "");
      EXPECT_NE(result.out.find("Usage: quern "), std::string::npos);
      EXPECT_NE(result.out.find("quern ", result.out.find("Example")), std::string::npos);
      std::size_t widest = 0;
      for (std::size_t begin = 0; begin < result.out.size();) {
        const std::size_t end = result.out.find('\n', begin);
        widest =
            std::max(widest, columns_of(std::string_view(result.out).substr(begin, end - begin)));
        begin = end + 1;
      }
      EXPECT_LE(widest, width == 0 ? 100 : width) << result.out;
      EXPECT_GT(widest, width / 2) << "the room is used";
    }
  }
  EXPECT_FALSE(run_quern({"help", "run"}).out.empty());
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
