#include <chrono>
#include <csignal>
#include <thread>

#include "quern/text.h"
#include "tests/tools/quern/program_fixture.h"

namespace quern::testing {
namespace {

using StreamsTest = ProgramTest;

TEST_F(StreamsTest, OnePromptPrintsItsTextAndASummary) {
  const auto json = json_of(run_llama({"-p", "Once upon a time", "-n", "8", "--json"}));
  const ChildResult plain = run_llama({"-p", "Once upon a time", "-n", "8"});
  EXPECT_EQ(plain.exit_code, 0);
  EXPECT_EQ(plain.out, json["results"][0]["text"].get<std::string>() + "\n");
  EXPECT_EQ(plain.err.find('\n'), plain.err.size() - 1) << plain.err;
  for (const char* part : {"8 tokens", "prefill", "decode", "tokens/s", "ms", "length"}) {
    EXPECT_NE(plain.err.find(part), std::string::npos) << plain.err;
  }
  EXPECT_EQ(plain.err.find("seed"), std::string::npos) << "greedy needs no seed: " << plain.err;
}

TEST_F(StreamsTest, SeveralPromptsPrintInputAndOutputInOrder) {
  const std::vector<std::string> arguments = {"-p", "Once", "-p", "The king", "-p", "A", "-n", "6"};
  std::vector<std::string> with_json = arguments;
  with_json.emplace_back("--json");
  const auto json = json_of(run_llama(with_json));
  std::string expected;
  for (const auto& result : json["results"]) {
    expected += "Input: \"" + result["prompt"].get<std::string>() + "\"\nOutput: \"" +
                result["text"].get<std::string>() + "\"\n";
  }
  EXPECT_EQ(run_llama(arguments).out, expected);
}

TEST_F(StreamsTest, QuietAndJsonLeaveStandardErrorEmpty) {
  EXPECT_EQ(run_llama({"-p", "a", "-n", "2", "--quiet"}).err, "");
  EXPECT_EQ(run_llama({"-p", "a", "-n", "2", "--json"}).err, "");
}

TEST_F(StreamsTest, JsonHasTheKeysOfTheContract) {
  const auto json = json_of(run_llama(
      {"-p", "a", "-n", "2", "--json", "--logprobs", "3", "--seed", "18446744073709551615"}));
  const auto keys = [](const nlohmann::ordered_json& object) {
    std::vector<std::string> names;
    for (const auto& item : object.items()) names.push_back(item.key());
    return names;
  };
  using Keys = std::vector<std::string>;
  EXPECT_EQ(keys(json), (Keys{"model", "device", "dtype", "seed", "results", "timing"}));
  EXPECT_EQ(json["device"], "cpu");
  EXPECT_EQ(json["dtype"], "float32");
  EXPECT_EQ(json["seed"], 18446744073709551615U);
  const auto& result = json["results"].at(0);
  EXPECT_EQ(keys(result),
            (Keys{"prompt", "prompt_ids", "output_ids", "text", "finish_reason", "logprobs"}));
  EXPECT_EQ(result["logprobs"].size(), 2U);
  const auto& first = result["logprobs"][0];
  EXPECT_EQ(keys(first), (Keys{"id", "logprob", "top"}));
  EXPECT_EQ(first["id"], result["output_ids"][0]);
  ASSERT_EQ(first["top"].size(), 3U);
  EXPECT_EQ(keys(first["top"][0]), (Keys{"id", "logprob"}));
  EXPECT_EQ(first["top"][0]["id"], first["id"]) << "greedy takes the best";
  const auto judged = json_of(run_llama(
      {"--prompt-ids", "1,300,17", "-n", "1", "--json", "--prompt-logprobs", "2"}))["results"]
                          .at(0);
  EXPECT_EQ(keys(judged), (Keys{"prompt", "prompt_ids", "output_ids", "text", "finish_reason",
                                "prompt_logprobs"}));
  ASSERT_EQ(judged["prompt_logprobs"].size(), 2U);
  EXPECT_EQ(judged["prompt_logprobs"][0]["id"], 300);
  EXPECT_EQ(judged["prompt_logprobs"][1]["id"], 17);
  EXPECT_LT(judged["prompt_logprobs"][1]["logprob"], 0.0);
  EXPECT_EQ(judged["prompt_logprobs"][1]["top"].size(), 2U);
  EXPECT_EQ(
      keys(json["timing"]),
      (Keys{"load_ms", "time_to_first_token_ms", "prefill_tokens_per_s", "decode_tokens_per_s",
            "cached_prompt_tokens", "total_ms", "steps_run", "stop_checks", "host_syncs", "loop",
            "launches_per_step", "dependent_launches_per_step", "library_calls_per_step",
            "recording_bytes", "peak_memory_bytes"}));
  EXPECT_EQ(json["timing"]["loop"], "host");
  EXPECT_GT(json["timing"]["peak_memory_bytes"], 0);
  EXPECT_FALSE(
      json_of(run_llama({"-p", "a", "-n", "2", "--json"}))["results"][0].contains("logprobs"));
}

TEST_F(StreamsTest, JsonIsValidWhateverTheBytes) {
  const TempFolder folder;
  const std::filesystem::path odd = folder / "model\xff";
  std::filesystem::create_directory_symlink(model("tale-llama"), odd);
  const ChildResult result = run_quern({"run", "-m", odd.string(), "-p", "a", "-n", "2", "--json"});
  EXPECT_EQ(invalid_utf8_at(result.out), std::nullopt);
  EXPECT_NE(json_of(result)["model"].get<std::string>().find("\xef\xbf\xbd"), std::string::npos);
}

TEST_F(StreamsTest, AClosedPipeEndsQuietly) {
  ChildOptions options;
  options.arguments = {"run", "-m", model("tale-llama"), "-p", "a", "-n", "2000", "--ignore-eos"};
  ChildProcess child(options);
  child.wait_for_output(1);
  child.close_output();
  const ChildResult result = child.finish();
  EXPECT_EQ(result.exit_code, 0) << "signal " << result.signal;
  EXPECT_EQ(result.err, "");
}

TEST_F(StreamsTest, AFullDiskIsAnError) {
  QUERN_SKIP_WITHOUT("/dev/full");
  for (const char* command : {"run", "tokenize"}) {
    ChildOptions options;
    options.arguments = {command, "-m", model("tale-llama"), "-p", "a"};
    options.output_file = "/dev/full";
    expect_failure(run_child(options), 1, {"standard output", "No space left"});
  }
}

TEST_F(StreamsTest, AnInterruptPrintsWhatIsThere) {
  ChildOptions options;
  options.arguments = {"run", "-m", model("tale-llama"), "-p", "a", "-n", "2000", "--ignore-eos"};
  ChildProcess child(options);
  child.wait_for_output(1);
  child.send(SIGINT);
  const ChildResult result = child.finish();
  EXPECT_EQ(result.exit_code, 130) << "signal " << result.signal;
  EXPECT_GT(result.out.size(), 1U);
  EXPECT_EQ(result.out.back(), '\n');
  EXPECT_NE(result.err.find("cancelled"), std::string::npos) << result.err;
}

TEST_F(StreamsTest, ASecondInterruptKills) {
  ChildOptions options;
  options.arguments = {
      "run",          "-m", model("tale-llama"), "-p",  "a", "-n", "2000", "--ignore-eos",
      "--skip-steps", "1",  "--check-interval",  "1990"};
  ChildProcess child(options);
  child.wait_for_output(1);
  const auto wait = [] { std::this_thread::sleep_for(std::chrono::milliseconds(20)); };
  wait();  // until the long way to the next look has begun
  child.send(SIGINT);
  wait();  // or the two would be one
  child.send(SIGINT);
  EXPECT_EQ(child.finish().signal, SIGINT) << "the next look is 1990 steps away";
}

TEST_F(StreamsTest, AnInterruptedJsonIsWhole) {
  ChildOptions options;
  options.arguments = {"run", "-m",   model("tale-llama"), "-p",    "a", "-p", "b",
                       "-n",  "2000", "--ignore-eos",      "--json"};
  options.terminal_errors = true;
  options.environment = {{"TERM", "xterm"}};
  ChildProcess child(options);
  child.wait_for_errors("0/2 prompts");
  child.send(SIGINT);
  const ChildResult result = child.finish();
  EXPECT_EQ(result.exit_code, 130) << "signal " << result.signal;
  const auto json = nlohmann::json::parse(result.out);
  ASSERT_EQ(json["results"].size(), 2U);
  EXPECT_EQ(json["results"][0]["finish_reason"], "cancelled");
  EXPECT_EQ(json["results"][1]["finish_reason"], "cancelled");
}

TEST_F(StreamsTest, ColourAndProgressAreForTerminalsAlone) {
  ChildOptions options;
  options.arguments = {"run", "-m", "/nowhere", "-p", "a"};
  options.environment = {{"TERM", "xterm"}};
  EXPECT_EQ(run_child(options).err.find('\x1b'), std::string::npos);
  options.terminal_errors = true;
  EXPECT_NE(run_child(options).err.find("\x1b["), std::string::npos);
  options.environment.emplace_back("NO_COLOR", "1");
  EXPECT_EQ(run_child(options).err.find('\x1b'), std::string::npos);

  options.arguments = {"run", "-m", model("tale-llama"), "-p", "a", "-p", "b", "-n", "2"};
  EXPECT_NE(run_child(options).err.find("0/2 prompts"), std::string::npos);
  options.arguments.emplace_back("--quiet");
  EXPECT_EQ(run_child(options).err, "");
}

}  // namespace
}  // namespace quern::testing
