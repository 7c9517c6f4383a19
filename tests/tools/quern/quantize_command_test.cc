#include <csignal>
#include <filesystem>
#include <sstream>

#include "tests/support/sanitizers.h"
#include "tests/tools/quern/program_fixture.h"

namespace quern::testing {
namespace {

namespace fs = std::filesystem;

class QuantizeCommandTest : public ProgramTest {
 protected:
  /// The first half of a tale for calibration, the second to measure with.
  void SetUp() override {
    ProgramTest::SetUp();
    const std::string tale =
        read_file(fs::path(QUERN_SOURCE_DIR) / "tools/quality/accuracy/default_text.txt");
    const std::size_t middle = tale.find('.', tale.size() * 6 / 10) + 1;
    calibration_ = write_file(folder_ / "calibration.txt", tale.substr(0, middle)).string();
    text_ = write_file(folder_ / "text.txt", tale.substr(middle)).string();
  }

  nlohmann::ordered_json quantize(const std::string& name, const std::string& out,
                                  std::vector<std::string> arguments) {
    const std::vector<std::string> head = {"quantize", "-m",      model(name),
                                           "-o",       path(out), "--json"};
    arguments.insert(arguments.begin(), head.begin(), head.end());
    return json_of(run_quern(std::move(arguments)));
  }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  nlohmann::ordered_json against_original(const std::string& name, const std::string& out,
                                          std::vector<std::string> arguments = {}) {
    const std::vector<std::string> head = {
        "perplexity", "-m",     path(out), "--device",        "cpu",      "--file",
        text_,        "--json", "-q",      "--against-model", model(name)};
    arguments.insert(arguments.begin(), head.begin(), head.end());
    return json_of(run_quern(std::move(arguments)))["against"];
  }
  std::vector<std::string> left_over() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_.path())) {
      const std::string name = entry.path().filename();
      if (name != "calibration.txt" && name != "text.txt") names.push_back(name);
    }
    return names;
  }

  TempFolder folder_;
  std::string calibration_;
  std::string text_;
};

TEST_F(QuantizeCommandTest, EachFormatOfEachFamilyKeepsTheModel) {
  struct Expected {
    const char* format;
    const char* stored;
    double kl;  ///< of the weights alone; gpt2's is several times that of the others
  };
  for (const char* name : {"tale-gpt2", "tale-llama", "tale-qwen", "tale-qwen2"}) {
    const double factor = std::string(name) == "tale-gpt2" ? 5 : 1;
    for (const Expected& expected : {Expected{"int8", "uint8 (float16 scales of 64 inputs)", 2e-3},
                                     Expected{"int4", "uint4 (float16 scales of 64 inputs)", 0.5},
                                     Expected{"fp8", "float8_e4m3 (float16 scales of a row)", 3e-2},
                                     Expected{"w8a8", "uint8 (float16 scales of a row)", 3e-3}}) {
      SCOPED_TRACE(std::string(name) + ' ' + expected.format);
      const std::string out = std::string(name) + '-' + expected.format;
      const auto json = quantize(name, out, {"--format", expected.format});
      EXPECT_EQ(json["format"], expected.format);
      EXPECT_EQ(json["num_matrices"], 16);
      EXPECT_LT(json["quantized_bytes"], json["source_bytes"]);
      const auto inspected = run_quern({"inspect", "-m", path(out), "--device", "cpu"});
      EXPECT_NE(inspected.out.find(expected.stored), std::string::npos) << inspected.out;
      EXPECT_LT(against_original(name, out)["kl"]["mean"], factor * expected.kl);
    }
  }
}

TEST_F(QuantizeCommandTest, CalibrationLowersTheDivergence) {
  // A tale is not enough for the squares of 192 to 768 inputs.
  const fs::path tales =
      fs::path(QUERN_SOURCE_DIR).parent_path() / "shared/corpora/fairy_tales.jsonl";
  QUERN_SKIP_WITHOUT(tales);
  std::string for_calibration;
  std::string for_measuring;
  std::istringstream lines(read_file(tales));
  bool is_even = false;
  for (std::string line; std::getline(lines, line); is_even = !is_even) {
    std::string& text = is_even ? for_calibration : for_measuring;
    if (text.size() < (is_even ? 80'000u : 6'000u)) {
      text += nlohmann::json::parse(line)["text"].get<std::string>() + "\n";
    }
  }
  calibration_ = write_file(calibration_, for_calibration).string();
  text_ = write_file(text_, for_measuring.substr(0, for_measuring.rfind('.', 6000) + 1)).string();
  for (const char* name : {"tale-gpt2", "tale-llama", "tale-qwen2"}) {
    const std::string nearest = std::string(name) + "-nearest";
    const std::string calibrated = std::string(name) + "-calibrated";
    quantize(name, nearest, {"--format", "int4", "--group-size", "64"});
    const auto json =
        quantize(name, calibrated,
                 {"--format", "int4", "--group-size", "64", "--calibration", calibration_});
    EXPECT_GT(json["calibration_tokens"], 512);
    const double before = against_original(name, nearest)["kl"]["mean"];
    const double after = against_original(name, calibrated)["kl"]["mean"];
    EXPECT_LT(after, 0.8 * before) << name;
  }
}

TEST_F(QuantizeCommandTest, SmoothedModelsRoundTheirInputs) {
  for (const char* name : {"tale-llama", "tale-qwen2"}) {
    quantize(name, name, {"--format", "w8a8", "--smooth", "0.5", "--calibration", calibration_});
    const auto against = against_original(name, name, {"--quantize-activations", "checkpoint"});
    EXPECT_LT(against["perplexity_increase_percent"], 1.0) << name;
    EXPECT_LT(against["kl"]["mean"], 1e-2) << name;
  }
}

TEST_F(QuantizeCommandTest, AccuracyHoldsTheFormatAgainstItsOriginal) {
  quantize("tale-llama", "int8", {"--format", "int8", "--calibration", calibration_});
  const std::string articles =
      write_file(folder_ / "articles.jsonl",
                 "{\"article\": \"The king had three sons.\", \"highlights\": \"A king.\"}\n")
          .string();
  const std::vector<std::string> arguments = {
      "accuracy",
      "-m",
      path("int8"),
      "--device",
      "cpu",
      "--against",
      model("tale-llama"),
      "--file",
      text_,
      "--dataset",
      articles,
      "-n",
      "8",
      "--json",
      "--bounds",
      write_file(folder_ / "bounds.json",
                 "{\"int8\": {\"max_kl\": 0.0012, \"max_rouge_drop\": 100}}")
          .string()};
  const auto json = json_of(run_quern(arguments));
  EXPECT_EQ(json["passed"], true);
  EXPECT_TRUE(json["nodes"].empty());
  EXPECT_NE(json["reference"].get<std::string>().find("tale-llama cpu-float32"), std::string::npos);
  EXPECT_EQ(json["checks"].size(), 2u) << json["checks"];

  // Of the format's bounds, with exit code 3 where one does not hold.
  quantize("tale-llama", "int4", {"--format", "int4"});
  const std::string strict =
      write_file(folder_ / "strict.json", "{\"int4\": {\"max_kl\": 0.001}}").string();
  const auto failed = run_quern({"accuracy", "-m", path("int4"), "--device", "cpu", "--against",
                                 model("tale-llama"), "--file", text_, "--bounds", strict});
  EXPECT_EQ(failed.exit_code, 3) << failed.err;
}

TEST_F(QuantizeCommandTest, TakesPromptsAsJsonLines) {
  std::string lines;
  for (int i = 0; i < 60; ++i) {
    lines += "{\"prompt\": \"The king had three sons, and the youngest went into the wood.\"}\n";
    lines += "{\"prompt_ids\": [5, 6, 7, 8]}\n";
  }
  const std::string file = write_file(folder_ / "prompts.jsonl", lines).string();
  const auto json =
      quantize("tale-llama", "out",
               {"--format", "int4", "--calibration", file, "--calibration-tokens", "600"});
  EXPECT_EQ(json["calibration_tokens"], 600);
}

TEST_F(QuantizeCommandTest, BadFilesAndOptionsNameWhatIsWrong) {
  const auto run = [&](std::vector<std::string> arguments) {
    const std::vector<std::string> head = {"quantize", "-m", model("tale-llama"), "-o",
                                           path("out")};
    arguments.insert(arguments.begin(), head.begin(), head.end());
    return run_quern(std::move(arguments));
  };
  const auto calibrate = [&](const std::string& name, const std::string& content) {
    const std::string file = write_file(folder_.path() / "bad" / name, content).string();
    return run({"--format", "int4", "--calibration", file});
  };
  expect_failure(calibrate("empty.txt", ""), 1, {"empty.txt", "512 tokens", "got 0"});
  expect_failure(calibrate("short.txt", "The king."), 1, {"short.txt", "512 tokens"});
  expect_failure(calibrate("latin.txt", "K\xf6nig"), 1, {"latin.txt", "UTF-8"});
  expect_failure(calibrate("bad.jsonl", "{\"prompt\": \"a\"}\n{\"prompt\": }\n"), 1,
                 {"bad.jsonl:2"});
  expect_failure(calibrate("keys.jsonl", "{\"article\": \"a\"}\n"), 1, {"keys.jsonl:1", "article"});
  expect_failure(calibrate("ids.jsonl", "{\"prompt_ids\": [" + std::string(2000, '9') + "]}\n"), 1,
                 {"ids.jsonl:1"});
  fs::remove_all(folder_ / "bad");
  expect_failure(run({"--format", "int4", "--calibration", path("none.txt")}), 1, {"none.txt"});
  expect_failure(run({"--format", "int5"}), 2, {"--format int5", "int8, int4, fp8 or w8a8"});
  expect_failure(run({}), 2, {"--format"});
  expect_failure(run({"--format", "int4", "--group-size", "100"}), 1, {"group_size 100", "192"});
  expect_failure(run({"--format", "fp8", "--group-size", "64"}), 2, {"--group-size", "fp8"});
  expect_failure(run({"--format", "int4", "--ignore", "gate_proj"}), 1, {"ignore", "up_proj"});
  expect_failure(run({"--format", "int4", "--smooth", "0.5"}), 2, {"--smooth", "w8a8"});
  expect_failure(run({"--format", "w8a8", "--smooth", "0.5"}), 2, {"--smooth", "--calibration"});
  expect_failure(run({"--format", "w8a8", "--smooth", "1"}), 2, {"--smooth", "(0, 1)"});
  expect_failure(run_quern({"quantize", "-m", model("tale-llama"), "--format", "int4"}), 2,
                 {"--output"});
  // The source itself, and a folder with something in it.
  expect_failure(run_quern({"quantize", "-m", model("tale-llama"), "-o", model("tale-llama"),
                            "--format", "int4"}),
                 1, {"tale-llama", "new or empty"});
  EXPECT_TRUE(left_over().empty()) << left_over().front();
}

TEST_F(QuantizeCommandTest, SignalsLeaveNothing) {
  std::string text;
  for (int i = 0; i < 40; ++i) text += read_file(calibration_);
  const std::string file = write_file(folder_.path() / "text.txt", text).string();
  for (const int signal : {SIGINT, SIGTERM}) {
    ChildOptions options;
    options.arguments = {"quantize", "-m",   model("tale-llama"), "-o", path("out"),
                         "--format", "int4", "--calibration",     file};
    options.terminal_errors = true;
    options.environment = {{"TERM", "xterm"}};
    ChildProcess child(options);
    child.wait_for_errors("/16 matrices");  // those shown depend on their time
    EXPECT_FALSE(left_over().empty());      // the folder is being written
    child.send(signal);
    const ChildResult result = child.finish();
    EXPECT_TRUE(signal == SIGINT ? result.exit_code == 130 : result.signal == SIGTERM)
        << result.exit_code << ' ' << result.signal << ' ' << result.err;
    EXPECT_TRUE(left_over().empty()) << left_over().front();
  }
}

}  // namespace
}  // namespace quern::testing
