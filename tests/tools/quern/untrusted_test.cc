// Folders and outputs that once crashed the program, made it hang, or made it lose a file.

#include <sys/stat.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "tests/support/sanitizers.h"
#include "tests/tools/quern/program_fixture.h"

namespace quern::testing {
namespace {

namespace fs = std::filesystem;

class UntrustedTest : public ProgramTest {
 protected:
  /// A demo model's files, to be changed.
  fs::path copy_of(const std::string& name) const {
    fs::copy(models() / name, folder_ / name, fs::copy_options::recursive);
    return folder_ / name;
  }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  std::size_t num_files() const {
    const auto files = fs::directory_iterator(folder_.path());
    return static_cast<std::size_t>(std::distance(begin(files), end(files)));
  }

  const TempFolder folder_;
};

TEST_F(UntrustedTest, ManyTensorsTakeLinearTime) {
  const fs::path model = copy_of("tale-llama");
  std::string header = "{";
  for (int i = 0; i < 200'000; ++i) {
    header += "\"t" + std::to_string(i) + R"(":{"dtype":"F16","shape":[0],"data_offsets":[0,0]},)";
  }
  header.back() = '}';
  fs::remove(model / "model.safetensors");
  write_file(model / "model.safetensors", raw_safetensors(header, ""));
  const auto begin = std::chrono::steady_clock::now();
  expect_failure(run_quern({"inspect", "-m", model.string(), "--device", "cpu"}), 1,
                 {"is missing"});
  EXPECT_LT(std::chrono::steady_clock::now() - begin,
            std::chrono::seconds(kHasSanitizers ? 100 : 20));
}

TEST_F(UntrustedTest, NonFiniteWeightsAreNamed) {
  const fs::path model = copy_of("tale-llama");
  const std::string whole = read_file(model / "model.safetensors");
  std::string broken = whole;
  broken.replace(broken.size() - 4, 4, "\x00\x7e\x00\xfc", 4);  // a NaN and an infinity
  write_file(model / "model.safetensors", broken);
  const ChildResult result =
      run_quern({"run", "-m", model.string(), "--device", "cpu", "-p", "The king", "-n", "1"});
  EXPECT_NE(result.err.find("numbers are not finite"), std::string::npos) << result.err;
}

TEST_F(UntrustedTest, BrokenLinksAreNoMissingFiles) {
  const fs::path model = copy_of("tale-qwen2");
  for (const char* name : {"generation_config.json", "tokenizer_config.json", "tokenizer.json"}) {
    SCOPED_TRACE(name);
    fs::remove(model / name);
    fs::create_symlink("/nonexistent", model / name);
    expect_failure(run_quern({"run", "-m", model.string(), "-p", "x", "-n", "1"}), 1,
                   {name, "a link to /nonexistent"});
    fs::remove(model / name);
    fs::create_symlink(name, model / name);
    expect_failure(run_quern({"run", "-m", model.string(), "-p", "x", "-n", "1"}), 1,
                   {name, "leads back to itself"});
    fs::remove(model / name);
    fs::copy(models() / "tale-qwen2" / name, model / name);
  }
}

TEST_F(UntrustedTest, EscapesOfAFileDoNotReachTheTerminal) {
  const fs::path model = copy_of("tale-gpt2");
  fs::remove(model / "model.safetensors");
  write_file(model / "model.safetensors.index.json", R"({"weight_map":{"a":"\u001b[2Jx"}})");
  const ChildResult result = run_quern({"inspect", "-m", model.string()});
  expect_failure(result, 1, {"\\u001b[2Jx"});
  EXPECT_EQ(result.err.find('\x1b'), std::string::npos);
}

TEST_F(UntrustedTest, OutputsGoThroughLinksAndIntoDevices) {
  write_file(folder_ / "target", "precious");
  fs::create_symlink("target", folder_ / "link");
  const std::vector<std::string> logits = {"logits", "-m", model("tale-llama"), "-p", "a b", "-o"};
  const auto run_to = [&](const std::string& file) {
    std::vector<std::string> arguments = logits;
    arguments.push_back(file);
    return run_quern(arguments);
  };
  EXPECT_EQ(run_to(path("link")).exit_code, 0);
  EXPECT_TRUE(fs::is_symlink(folder_ / "link"));
  EXPECT_GT(fs::file_size(folder_ / "target"), 1000U);
  EXPECT_EQ(num_files(), 2U);
  EXPECT_EQ(run_to("/dev/null").exit_code, 0);
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  const ChildResult pipe = run_to(path("pipe"));
  EXPECT_EQ(pipe.exit_code, 1);
  EXPECT_NE(pipe.err.find("nobody reads"), std::string::npos) << pipe.err;
  // What was computed is reported all the same.
  const ChildResult full = run_to("/dev/full");
  EXPECT_EQ(full.exit_code, 1);
  EXPECT_NE(full.err.find("No space left"), std::string::npos) << full.err;
  EXPECT_NE(full.out, "");
}

TEST_F(UntrustedTest, SignalsLeaveNoTemporaryFiles) {
  const std::string text = path("text.txt");
  std::string words;
  for (int i = 0; i < 3000; ++i) words += "The king had three sons. ";
  write_file(text, words);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    SCOPED_TRACE(signal);
    ChildOptions options;
    options.arguments = {"perplexity", "-m", model("tale-llama"), "--device",    "cpu",
                         "--file",     text, "--save-logits",     path("logits")};
    ChildProcess child(options);
    for (int i = 0; i < 3000 && num_files() < 2; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    EXPECT_EQ(num_files(), 2U) << "the temporary file";
    child.send(signal);
    if (signal == SIGINT) child.send(signal);
    child.finish();
    EXPECT_EQ(num_files(), 1U);
  }
}

}  // namespace
}  // namespace quern::testing
