// Texts from files, "-", pipes and devices: all the same to every option that takes one.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "tests/tools/quern/program_fixture.h"

namespace quern::testing {
namespace {

/// A named pipe as a file argument, with someone who writes a text into it: what a shell's <(…) is.
class NamedPipe {
 public:
  NamedPipe(const std::filesystem::path& path, std::string text) : path_(path.string()) {
    if (::mkfifo(path_.c_str(), 0600) != 0) throw std::runtime_error("cannot make " + path_);
    writer_ = std::thread([this, text = std::move(text)] {
      const int descriptor = ::open(path_.c_str(), O_WRONLY | O_CLOEXEC);  // waits for the reader
      std::size_t done = 0;
      while (done < text.size()) {
        const ssize_t count = ::write(descriptor, text.data() + done, text.size() - done);
        if (count <= 0) break;
        done += static_cast<std::size_t>(count);
      }
      ::close(descriptor);
    });
  }
  NamedPipe(const NamedPipe&) = delete;
  NamedPipe& operator=(const NamedPipe&) = delete;
  ~NamedPipe() {
    // A reader that never came must not leave the writer waiting.
    const int descriptor = ::open(path_.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    writer_.join();
    ::close(descriptor);
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  std::thread writer_;
};

class InputsTest : public ProgramTest {
 protected:
  /// Standard output of a command with FILE in its arguments replaced by each kind of source.
  void expect_same(const std::vector<std::string>& arguments, const std::string& text,
                   const std::string& ending) {
    const auto with = [&](const std::string& file) {
      std::vector<std::string> all = arguments;
      std::replace(all.begin(), all.end(), std::string("FILE"), file);
      return all;
    };
    const auto answer = [](const ChildResult& result) {
      EXPECT_EQ(result.exit_code, 0) << result.err;
      return nlohmann::ordered_json::parse(result.out);
    };
    const std::filesystem::path file = write_file(folder_ / ("file" + ending), text);
    const auto expected = without_names(answer(run_quern(with(file.string()))));
    for (const char* name : {"-", "/dev/stdin", "/dev/fd/0"}) {
      for (const bool pipe : {false, true}) {
        SCOPED_TRACE(std::string(name) + (pipe ? " from a pipe" : " from a file"));
        ChildOptions options;
        options.arguments = with(name);
        options.input = text;
        options.pipe_input = pipe;
        EXPECT_EQ(without_names(answer(run_child(options))), expected);
      }
    }
    const NamedPipe pipe(folder_ / "pipe", text);
    EXPECT_EQ(without_names(answer(run_quern(with(pipe.path())))), expected);
    std::filesystem::remove(folder_ / "pipe");
  }

  /// Without what tells the source's name, or how long it took.
  static nlohmann::ordered_json without_names(nlohmann::ordered_json json) {
    for (const char* key : {"file", "bounds", "dataset", "timing", "seconds", "tokens_per_s",
                            "engine", "seed", "reference", "environment", "perplexity"}) {
      if (json.is_object()) json.erase(key);
    }
    return json;
  }

  TempFolder folder_;
};

constexpr const char* kTale = "Once upon a time there was a king who had three sons.\n";

TEST_F(InputsTest, Prompts) {
  const std::vector<std::string> run = {"run", "-m", model("tale-llama"), "-n", "3", "--json"};
  const auto with = [](std::vector<std::string> arguments, const char* option) {
    arguments.insert(arguments.end(), {option, "FILE"});
    return arguments;
  };
  expect_same(with(run, "--prompt-file"), kTale, ".txt");
  expect_same(with(run, "--prompts-file"), "{\"prompt\": \"a\"}\n{\"prompt_ids\": [1, 300]}\n",
              ".jsonl");
  const std::vector<std::string> decode = {"tokenize", "-m", model("tale-llama"), "--json"};
  expect_same(with(decode, "--prompts-file"), "{\"prompt\": \"three sons\"}\n", ".jsonl");
  std::vector<std::string> ids = with(decode, "--prompt-file");
  ids.emplace_back("--decode");
  expect_same(ids, "1,300,17\n", ".txt");
}

TEST_F(InputsTest, TextsAndReferences) {
  expect_same(
      {"perplexity", "-m", model("tale-gpt2"), "--device", "cpu", "--file", "FILE", "--json"},
      kTale, ".txt");
  const std::string texts = write_file(folder_ / "texts.txt", "one two\nthree four\n").string();
  expect_same({"rouge", "--predictions", "FILE", "--references", texts, "--json"},
              "one two\nthree five\n", ".txt");
  expect_same({"rouge", "--predictions", texts, "--references", "FILE", "--json"},
              "{\"text\": \"one two\"}\n{\"text\": \"three\"}\n", ".jsonl");
}

TEST_F(InputsTest, DataSets) {
  const std::vector<std::string> head = {
      "summarize", "-m", model("tale-gpt2"), "--device",       "cpu",
      "-n",        "2",  "--json",           "--max-articles", "2"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), head.begin(), head.end());
    return more;
  };
  expect_same(with({"--dataset", "FILE"}),
              "{\"article\": \"The king had sons.\", \"highlights\": \"A king.\"}\n", ".jsonl");
  expect_same(with({"--dataset", "FILE"}),
              "id,article,highlights\n1,\"The king, it is said, had sons.\",A king.\n", ".csv");
  const std::string data =
      write_file(folder_ / "data.csv", "article,highlights\nThe king had sons.,A king.\n").string();
  expect_same(with({"--dataset", data, "--reference-file", "FILE"}), "{\"text\": \"A king.\"}\n",
              ".jsonl");
}

TEST_F(InputsTest, BoundsOfAccuracy) {
  expect_same({"accuracy", "-m", model("tale-gpt2"), "--device", "cpu", "--dtype", "float16",
               "--decode-steps", "0", "--max-tokens", "8", "-p", "a", "--bounds", "FILE", "--json"},
              "{\"float16\": {\"max_kl\": 100}}", ".json");
}

TEST_F(InputsTest, TroubleIsNamed) {
  expect_failure(run_quern({"rouge", "--predictions", "-", "--references", "-"}), 2,
                 {"--predictions", "--references", "once"});
  expect_failure(run_llama({"--prompt-file", "-"}, "a\xff"), 1, {"standard input", "UTF-8", "1"});
  expect_failure(run_llama({"--prompts-file", "-"}, "{\"prompt\": 7}"), 1,
                 {"standard input:1", "'prompt'"});
  expect_failure(run_llama({"--prompts-file", "/dev/null"}), 1,
                 {"/dev/null", "at least one prompt"});
  expect_failure(run_quern({"summarize", "-m", model("tale-gpt2"), "--dataset", "-"}, "a,b\n1,2\n"),
                 1, {"standard input:2", "'article'", "'a', 'b'"});
}

}  // namespace
}  // namespace quern::testing
