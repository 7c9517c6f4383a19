#include "tests/tools/quern/program_fixture.h"

namespace quern::testing {
namespace {

using Json = nlohmann::ordered_json;
using BenchTest = ProgramTest;

ChildResult bench(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(),
                   {"bench", "--device", "cpu", "--runs", "2", "--warm-up", "1"});
  return run_quern(std::move(arguments));
}

TEST_F(BenchTest, MeasuresEveryCell) {
  const Json json = json_of(bench({"-m", model("tale-llama"), "--batch-size", "1;3",
                                   "--input-output-len", "8,64;16,1", "--json"}));
  EXPECT_EQ(json["schema"], "quern bench");
  EXPECT_EQ(json["schema_version"], 2);
  EXPECT_EQ(json["engine"]["weights"], "checkpoint");
  EXPECT_EQ(json["engine"]["dtype"], "float32");
  EXPECT_TRUE(json["environment"].contains("cpu"));
  EXPECT_GT(json["ceilings"]["read_gbps"].get<double>(), 0.0);
  EXPECT_GT(json["ceilings"]["product_tflops"].get<double>(), 0.0);
  const double weight_bytes = json["engine"]["memory"]["weight_bytes"];
  EXPECT_GT(weight_bytes, 0.0);
  ASSERT_EQ(json["cells"].size(), 4u);
  const Json& cell = json["cells"][1];
  EXPECT_EQ(cell["batch_size"], 3);
  EXPECT_EQ(cell["runs"], 2);
  EXPECT_EQ(cell["latencies_ms"].size(), 2u);
  EXPECT_EQ(cell["steps_run"], 64.0);
  EXPECT_EQ(cell["stop_checks"], 64.0);
  EXPECT_GT(cell["latency_ms"], cell["time_to_first_token_ms"]);
  EXPECT_GT(cell["tokens_per_s"].get<double>(), 0.0);
  // A model of some MB may lie in caches.
  if (cell.contains("share_of_floor")) {
    EXPECT_GT(cell["share_of_floor"].get<double>(), 0.0);
  } else {
    EXPECT_TRUE(cell["withheld"].contains("decode"));
  }
  EXPECT_EQ(cell["weight_bytes"], weight_bytes);
  EXPECT_GT(cell["peak_memory_bytes"], cell["context_bytes"]);
  EXPECT_EQ(cell["first_tokens_ms"].size(), 2u);
  // Three sequences read the same weights as one, but caches and products of their own.
  const Json& alone = json["cells"][0];
  EXPECT_GT(cell["decode_bytes"], alone["decode_bytes"]);
  EXPECT_LT(cell["decode_bytes"].get<double>(), 1.1 * weight_bytes);
  EXPECT_NEAR(cell["decode_flops"].get<double>(), 3 * alone["decode_flops"].get<double>(), 1.0);
  // Eight tokens a prompt, of which the lm_head sees the last.
  EXPECT_GT(cell["prefill_flops"].get<double>(), 5 * cell["decode_flops"].get<double>());
  EXPECT_LT(cell["prefill_flops"].get<double>(), 8 * cell["decode_flops"].get<double>());
  EXPECT_FALSE(json["cells"][2].contains("decode_step_ms")) << "one new token: no decode step";
}

TEST_F(BenchTest, TheSettingsSayHowItRan) {
  const Json json =
      json_of(bench({"-m", model("tale-gpt2"), "--input-output-len", "4,9", "--skip-steps", "4",
                     "--check-interval", "2", "--device-loop", "off", "--dtype", "float16",
                     "--threads", "1", "--seed", "5", "--json"}));
  const Json settings = {{"warm_up", 1},        {"runs", 2},       {"duration_s", 0.0},
                         {"seed", 5},           {"skip_steps", 4}, {"check_interval", 2},
                         {"device_loop", "off"}};
  EXPECT_EQ(json["settings"], settings);
  EXPECT_EQ(json["engine"]["dtype"], "float16");
  EXPECT_EQ(json["engine"]["device"], "cpu");
  EXPECT_EQ(json["engine"]["threads"], 1);
  EXPECT_EQ(json["cells"][0]["stop_checks"], 4.0) << "after steps 4, 6, 8 and at the limit";
}

TEST_F(BenchTest, StressAnswersAllThatCame) {
  const std::vector<std::string> arguments = {
      "-m",  model("tale-llama"), "--batch-size", "2",      "--input-output-len",
      "8,4", "--stress",          "0.5",          "--rate", "40"};
  std::vector<std::string> with_json = arguments;
  with_json.push_back("--json");
  const Json json = json_of(bench(with_json));
  EXPECT_TRUE(json["cells"].empty());
  const Json& stress = json["stress"];
  EXPECT_GT(stress["requests"], 4);
  EXPECT_EQ(stress["finished"], stress["requests"]);
  EXPECT_GE(stress["input_tokens"], stress["requests"]);
  EXPECT_LE(stress["input_tokens"].get<int>(), 8 * stress["requests"].get<int>());
  EXPECT_GE(stress["output_tokens"], stress["requests"]);
  EXPECT_GT(stress["output_tokens_per_s"].get<double>(), 0.0);
  EXPECT_GE(stress["latency_ms"]["p99"], stress["latency_ms"]["median"]);
  EXPECT_GE(stress["latency_ms"]["max"], stress["time_to_first_token_ms"]["max"]);
  EXPECT_GT(stress["inter_token_ms"]["p99"].get<double>(), 0.0);

  const ChildResult table = bench(arguments);
  EXPECT_EQ(table.exit_code, 0) << table.err;
  EXPECT_NE(table.out.find("between tokens"), std::string::npos);
}

TEST_F(BenchTest, RequestsAtOnceAreAllAnswered) {
  const std::vector<std::string> arguments = {
      "-m",          model("tale-llama"), "--batch-size", "3",      "--input-output-len",
      "8,4",         "--requests",        "11",           "--seed", "3",
      "--step-times"};
  std::vector<std::string> with_json = arguments;
  with_json.push_back("--json");
  const Json stress = json_of(bench(with_json))["stress"];
  EXPECT_EQ(stress["at_once"], 11);
  EXPECT_EQ(stress["requests"], 11);
  EXPECT_EQ(stress["finished"], 11);
  const Json& steps = stress["steps"];
  EXPECT_GE(steps["prefill"]["launches"], 1);
  EXPECT_GT(steps["decode"]["busy_ms"].get<double>(), 0.0);
  std::uint64_t tokens = 0;
  for (const char* kind : {"prefill", "mixed", "decode"}) {
    tokens += steps[kind]["tokens"].get<std::uint64_t>();
  }
  // Each token but an answer's last is one row of a step.
  const auto rows = stress["input_tokens"].get<std::uint64_t>() +
                    stress["output_tokens"].get<std::uint64_t>() - 11;
  EXPECT_EQ(tokens, rows);
  const Json again = json_of(bench(with_json))["stress"];
  EXPECT_EQ(again["input_tokens"], stress["input_tokens"]) << "the seed decides";

  const ChildResult table = bench(arguments);
  EXPECT_EQ(table.exit_code, 0) << table.err;
  EXPECT_NE(table.out.find("11 requests came at once"), std::string::npos);
  EXPECT_NE(table.out.find("idle %"), std::string::npos);
}

TEST_F(BenchTest, RandomWeightsSaySo) {
  const Json json = json_of(
      bench({"--shape", "gpt_350m", "--layers", "1", "--input-output-len", "4,2", "--json"}));
  EXPECT_EQ(json["engine"]["weights"], "random");
  EXPECT_EQ(json["engine"]["model"], "gpt_350m");
}

TEST_F(BenchTest, CellsWithoutRoomAreSkippedAndTheSweepGoesOn) {
  const Json json =
      json_of(bench({"-m", model("tale-gpt2"), "--input-output-len", "8,2;4000,100", "--json"}));
  EXPECT_FALSE(json["cells"][0].contains("skipped"));
  EXPECT_NE(json["cells"][1]["skipped"].get<std::string>().find("max_position_embeddings"),
            std::string::npos);

  const Json small =
      json_of(bench({"-m", model("tale-gpt2"), "--batch-size", "1;64", "--input-output-len",
                     "200,56", "--kv-cache-memory", "4MiB", "--json"}));
  EXPECT_FALSE(small["cells"][0].contains("skipped"));
  EXPECT_NE(small["cells"][1]["skipped"].get<std::string>().find("bytes missing"),
            std::string::npos);
}

TEST_F(BenchTest, PrintsATableOrCsv) {
  const ChildResult table = bench({"-m", model("tale-llama"), "--input-output-len", "4,2"});
  EXPECT_EQ(table.exit_code, 0) << table.err;
  EXPECT_NE(table.out.find("tokens/s"), std::string::npos);
  const ChildResult csv = bench({"-m", model("tale-llama"), "--input-output-len", "4,2", "--csv"});
  EXPECT_EQ(std::count(csv.out.begin(), csv.out.end(), '\n'), 2);
  EXPECT_EQ(csv.out.find("batch_size,input_len,output_len,"), 0u);
}

TEST_F(BenchTest, BadOptionsAreUsageErrorsBeforeAnyWork) {
  const std::string m = model("tale-llama");
  expect_failure(bench({"-m", m, "--batch-size", ""}), 2, {"--batch-size"});
  expect_failure(bench({"-m", m, "--batch_size", "0"}), 2, {"--batch-size", "0"});
  expect_failure(bench({"-m", m, "--input_output_len", "64"}), 2, {"--input-output-len", "64"});
  expect_failure(bench({"-m", m, "--json", "--csv"}), 2, {"--json", "--csv"});
  expect_failure(bench({"--shape", "gpt_351m"}), 2, {"gpt_351m", "gpt_350m", "llama_7b"});
  expect_failure(bench({}), 2, {"--model"});
  expect_failure(bench({"-m", m, "--rate", "3"}), 2, {"--rate", "--stress"});
  expect_failure(bench({"-m", m, "--stress", "0"}), 2, {"--stress", "above 0"});
  expect_failure(bench({"-m", m, "--requests", "0"}), 2, {"--requests", "0"});
  expect_failure(bench({"-m", m, "--requests", "2", "--stress", "1"}), 2,
                 {"--requests", "--stress"});
  expect_failure(bench({"-m", m, "--requests", "2", "--rate", "3"}), 2, {"--rate", "--stress"});
  expect_failure(bench({"-m", m, "--requests", "2", "--batch-size", "1;2"}), 2,
                 {"--requests", "one --batch-size"});
  expect_failure(bench({"-m", m, "--step-times"}), 2, {"--step-times", "--requests"});
  expect_failure(bench({"-m", m, "--max-mixed-tokens", "0"}), 2, {"--max-mixed-tokens", "0"});
  expect_failure(bench({"-m", m, "--stress", "1", "--rate", "x"}), 2, {"--rate", "'x'"});
  expect_failure(bench({"-m", m, "--stress", "1", "--csv"}), 2, {"--stress", "--csv"});
  expect_failure(bench({"-m", m, "--stress", "1", "--batch-size", "1;2"}), 2,
                 {"--stress", "one --batch-size"});
  expect_failure(bench({"-m", m, "--runs", "0"}), 2, {"--runs"});
  expect_failure(bench({"-m", m, "--duration", "-1"}), 2, {"--duration"});
  expect_failure(bench({"-m", m, "--stress", "1", "--input-output-len", "4000,100"}), 1,
                 {"4100 tokens", "max_position_embeddings"});
}

}  // namespace
}  // namespace quern::testing
