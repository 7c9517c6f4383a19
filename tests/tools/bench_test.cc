#include "tests/tools/program_fixture.h"

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
                                   "--input-output-len", "8,4;16,1", "--json"}));
  EXPECT_EQ(json["schema"], "quern bench");
  EXPECT_EQ(json["schema_version"], 1);
  EXPECT_EQ(json["engine"]["weights"], "checkpoint");
  EXPECT_EQ(json["engine"]["dtype"], "float32");
  EXPECT_TRUE(json["environment"].contains("cpu"));
  EXPECT_GT(json["read_gbps"].get<double>(), 0.0);
  EXPECT_GT(json["engine"]["memory"]["weight_bytes"].get<double>(), 0.0);
  ASSERT_EQ(json["cells"].size(), 4u);
  const Json& cell = json["cells"][1];
  EXPECT_EQ(cell["batch_size"], 3);
  EXPECT_EQ(cell["runs"], 2);
  EXPECT_EQ(cell["latencies_ms"].size(), 2u);
  EXPECT_EQ(cell["steps_run"], 4.0);
  EXPECT_EQ(cell["stop_checks"], 4.0);
  EXPECT_GT(cell["latency_ms"], cell["time_to_first_token_ms"]);
  EXPECT_GT(cell["tokens_per_s"].get<double>(), 0.0);
  EXPECT_GT(cell["share_of_floor"].get<double>(), 0.0);
  EXPECT_EQ(json["cells"][2]["decode_step_ms"], 0.0);
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
}

}  // namespace
}  // namespace quern::testing
