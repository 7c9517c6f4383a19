// SIGINT at several moments: every command ends within about a second, with exit code 130.
#include <chrono>
#include <csignal>
#include <functional>
#include <numeric>
#include <thread>

#include "tests/support/sanitizers.h"
#include "tests/tools/quern/program_fixture.h"

namespace quern::testing {
namespace {

using Clock = std::chrono::steady_clock;

class InterruptsTest : public ProgramTest {
 protected:
  /// A second, and what a busy machine may take to run the process at all.
  static constexpr std::chrono::milliseconds kAtMost{3000};

  static ChildOptions on_terminal(std::vector<std::string> arguments) {
    ChildOptions options;
    options.arguments = std::move(arguments);
    options.terminal_errors = true;
    options.environment = {{"TERM", "xterm"}};
    return options;
  }

  static ChildResult interrupt(ChildProcess& child) {
    const auto begin = Clock::now();
    child.send(SIGINT);
    ChildResult result = child.finish();
    EXPECT_LT(Clock::now() - begin, kAtMost);
    // A process that starts slowly may not have its handler yet.
    EXPECT_TRUE(result.exit_code == 130 || (kHasSanitizers && result.signal == SIGINT))
        << "exit code " << result.exit_code << ", signal " << result.signal << ": " << result.err;
    return result;
  }

  /// Expects the report of what was done, which says so. A step that takes longer than an
  /// interrupt waits for ends without one.
  static void expect_partial(const ChildResult& result, const std::string& words) {
    if (kHasSanitizers && result.out.empty()) return;
    EXPECT_NE(result.out.find(words), std::string::npos) << result.out;
  }

  /// Interrupts a command once its standard error has `text` in it.
  static ChildResult interrupt_at(const std::vector<std::string>& arguments,
                                  const std::string& text) {
    SCOPED_TRACE(arguments.front() + " at " + text);
    ChildProcess child(on_terminal(arguments));
    child.wait_for_errors(text);
    return interrupt(child);
  }

  /// Interrupts a command that has run for so long, whatever it is doing.
  static ChildResult interrupt_after(const std::vector<std::string>& arguments,
                                     std::chrono::milliseconds delay) {
    SCOPED_TRACE(arguments.front() + " after " + std::to_string(delay.count()) + " ms");
    ChildProcess child(on_terminal(arguments));
    std::this_thread::sleep_for(delay);
    return interrupt(child);
  }

  std::string long_text(int num_lines = 40'000) const {
    std::string text;
    for (int i = 0; i < num_lines; ++i)
      text += "Once upon a time there was a king with three sons.\n";
    return write_file(folder_ / "long.txt", text).string();
  }
  std::string data_set() const {
    std::string lines;
    for (int i = 0; i < 200; ++i) {
      lines += "{\"article\": \"The king had three sons.\", \"highlights\": \"A king.\"}\n";
    }
    return write_file(folder_ / "data.jsonl", lines).string();
  }

  TempFolder folder_;
};

/// Weights that take many seconds to make.
const std::vector<std::string> kLarge = {"--shape",  "llama_7b", "--layers",      "2",
                                         "--device", "cpu",      "--max-seq-len", "64"};

std::vector<std::string> with_large(std::vector<std::string> arguments) {
  arguments.insert(arguments.end(), kLarge.begin(), kLarge.end());
  return arguments;
}

TEST_F(InterruptsTest, WhileWeightsAreMade) {
  const char* progress = "MiB of weights";
  interrupt_at(with_large({"run", "--prompt-ids", "1,2", "-n", "2"}), progress);
  interrupt_at(with_large({"logits", "--prompt-ids", "1,2"}), progress);
  interrupt_at(with_large({"compare", "--prompt-ids", "1,2", "--dtype", "float16",
                           "--reference-dtype", "float32"}),
               progress);
  interrupt_at({"bench", "--shape", "llama_7b", "--layers", "2", "--device", "cpu",
                "--input-output-len", "8,2"},
               progress);
}

/// A model whose 160 MiB of weights are all zero, and of which the disk has next to nothing.
std::string sparse_model(const std::filesystem::path& folder) {
  std::filesystem::copy(demo_model("tale-llama"), folder, std::filesystem::copy_options::recursive);
  nlohmann::json config = nlohmann::json::parse(read_file(folder / "config.json"));
  constexpr int kHidden = 1024;
  constexpr int kInner = 4096;
  config.update({{"hidden_size", kHidden},
                 {"intermediate_size", kInner},
                 {"num_hidden_layers", 4},
                 {"num_attention_heads", 8},
                 {"num_key_value_heads", 8}});
  write_file(folder / "config.json", config.dump());
  nlohmann::json header = nlohmann::json::object();
  std::uint64_t end = 0;
  const auto add = [&](const std::string& name, const std::vector<std::uint64_t>& shape) {
    const std::uint64_t begin = end;
    end += std::accumulate(shape.begin(), shape.end(), std::uint64_t{2}, std::multiplies<>());
    header[name] = {{"dtype", "F16"}, {"shape", shape}, {"data_offsets", {begin, end}}};
  };
  const std::uint64_t vocab = config["vocab_size"];
  add("model.embed_tokens.weight", {vocab, kHidden});
  for (int layer = 0; layer < 4; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    for (const char* name : {"q_proj", "k_proj", "v_proj", "o_proj"}) {
      add(prefix + "self_attn." + name + ".weight", {kHidden, kHidden});
    }
    add(prefix + "mlp.gate_proj.weight", {kInner, kHidden});
    add(prefix + "mlp.up_proj.weight", {kInner, kHidden});
    add(prefix + "mlp.down_proj.weight", {kHidden, kInner});
    add(prefix + "input_layernorm.weight", {kHidden});
    add(prefix + "post_attention_layernorm.weight", {kHidden});
  }
  add("model.norm.weight", {kHidden});
  add("lm_head.weight", {vocab, kHidden});
  const std::string text = header.dump();
  const std::uint64_t size = text.size();
  const std::string length(reinterpret_cast<const char*>(&size), sizeof(size));
  write_file(folder / "model.safetensors", length + text);
  std::filesystem::resize_file(folder / "model.safetensors", length.size() + text.size() + end);
  return folder.string();
}

TEST_F(InterruptsTest, WhileWeightsAreLoaded) {
  const std::vector<std::string> model = {"-m", sparse_model(folder_ / "m"), "--device", "cpu"};
  const auto with = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.end(), model.begin(), model.end());
    return arguments;
  };
  const char* progress = "MiB of weights";
  interrupt_at(with({"run", "--prompt-ids", "1,2", "-n", "2000"}), progress);
  interrupt_at(with({"perplexity", "--file", long_text()}), progress);
  interrupt_at(with({"bench", "--input-output-len", "8,900"}), progress);
  interrupt_at(with({"summarize", "--dataset", data_set(), "--max-articles", "200"}), progress);
}

TEST_F(InterruptsTest, ProgressLeavesTheScreen) {
  const ChildResult result =
      interrupt_at(with_large({"run", "--prompt-ids", "1,2", "-n", "2"}), "MiB of weights");
  EXPECT_TRUE(result.err.ends_with("\r\x1b[K")) << result.err;
}

TEST_F(InterruptsTest, WithinALongStep) {
  // 1000 tokens times 150 million parameters on one thread are seconds on any CPU.
  std::string ids = "1";
  for (int i = 1; i < 1000; ++i) ids += ",1";
  ChildProcess child(on_terminal(
      {"run", "--shape", "gpt_350m", "--layers", "12", "--device", "cpu", "--dtype", "float32",
       "--prompt-ids", ids, "--max-tokens-per-step", "1024", "-n", "2", "--threads", "1", "-vv"}));
  child.wait_for_errors("reading the weights: ");
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  interrupt(child);
}

TEST_F(InterruptsTest, WhileItTokenizesAndMeasures) {
  const std::string text = long_text();
  const std::vector<std::string> perplexity = {
      "perplexity", "-m", model("tale-gpt2"), "--device", "cpu", "--file", text};
  interrupt_after(perplexity, std::chrono::milliseconds(100));
  const ChildResult found = interrupt_at(perplexity, "1/");
  expect_partial(found, "interrupted");
  const std::string longer = long_text(800'000);  // 40 MB, about a second
  interrupt_after({"tokenize", "-m", model("tale-llama"), "--prompt-file", longer},
                  std::chrono::milliseconds(100));
}

TEST_F(InterruptsTest, WhileItSummarizes) {
  const std::vector<std::string> arguments = {
      "summarize", "-m",       model("tale-gpt2"), "--device", "cpu",        "-n", "100",
      "--dataset", data_set(), "--max-articles",   "200",      "--max-seqs", "2"};
  interrupt_at(arguments, "articles to warm up");
  const ChildResult found = interrupt_at(arguments, "/200 articles, ");
  expect_partial(found, "interrupted: ");
}

TEST_F(InterruptsTest, WhileItComparesAndChecks) {
  const std::string text = long_text();
  const ChildResult page =
      interrupt_at({"accuracy", "-m", model("tale-gpt2"), "--device", "cpu", "--dtype", "float16",
                    "--file", text, "--decode-steps", "500"},
                   "tokens compared");
  expect_partial(page, "Interrupted.");
  const ChildResult compared = interrupt_at(
      {"compare", "-m", model("tale-gpt2"), "--device", "cpu", "--dtype", "float16",
       "--reference-dtype", "float32", "-p", "Once upon a time", "--decode-steps", "900"},
      "tokens compared");
  expect_partial(compared, "interrupted");
}

TEST_F(InterruptsTest, WhileItBenchmarks) {
  const std::vector<std::string> head = {"bench", "-m", model("tale-gpt2"), "--device", "cpu"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), head.begin(), head.end());
    return more;
  };
  interrupt_at(with({"--input-output-len", "8,900"}), "measurements of the device");
  interrupt_at(with({"--input-output-len", "8,900", "--runs", "1000"}), "0/1 cells");
  const ChildResult json =
      interrupt_at(with({"--input-output-len", "8,900;8,4", "--runs", "1000", "--json"}), "run 1");
  const auto cells = nlohmann::json::parse(json.out)["cells"];
  EXPECT_EQ(cells[1]["skipped"], "interrupted");
  interrupt_at(with({"--input-output-len", "8,200", "--stress", "60", "--rate", "20"}), "requests");
}

TEST_F(InterruptsTest, ADumbTerminalGetsNoEscapes) {
  ChildOptions options =
      on_terminal({"run", "-m", model("tale-llama"), "-p", "a", "-p", "b", "-n", "4", "--greedy"});
  options.environment = {{"TERM", "dumb"}};
  const ChildResult result = run_child(options);
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_NE(result.err.find("0/2 prompts"), std::string::npos) << result.err;
  EXPECT_EQ(result.err.find('\x1b'), std::string::npos) << result.err;
  EXPECT_EQ(result.out.find('\x1b'), std::string::npos);
}

}  // namespace
}  // namespace quern::testing
