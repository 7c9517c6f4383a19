// Encoding speed on one thread: tokenize_bench [--benchmark_…] FOLDER TEXT_FILE. The text is
// encoded as a whole and paragraph by paragraph, as prompts are.

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "quern/files.h"
#include "quern/tokenizer.h"

namespace quern {
namespace {

constexpr std::size_t kMaxTextBytes = 1 << 30;

std::vector<std::string_view> paragraphs_of(std::string_view text) {
  std::vector<std::string_view> paragraphs;
  for (std::size_t begin = 0; begin < text.size();) {
    std::size_t end = text.find("\n\n", begin);
    end = end == std::string_view::npos ? text.size() : end + 2;
    paragraphs.push_back(text.substr(begin, end - begin));
    begin = end;
  }
  return paragraphs;
}

void encode(benchmark::State& state, const Tokenizer& tokenizer,
            const std::vector<std::string_view>& texts) {
  std::int64_t size_bytes = 0;
  std::int64_t num_tokens = 0;
  for (auto _ : state) {
    for (const std::string_view text : texts) {
      num_tokens += static_cast<std::int64_t>(tokenizer.encode(text).size());
      size_bytes += static_cast<std::int64_t>(text.size());
    }
  }
  state.SetBytesProcessed(size_bytes);
  state.counters["tokens/s"] =
      benchmark::Counter(static_cast<double>(num_tokens), benchmark::Counter::kIsRate);
}

int run(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (argc != 3) {
    fmt::print(stderr, "usage: tokenize_bench [--benchmark_...] FOLDER TEXT_FILE\n");
    return 2;
  }
  const std::unique_ptr<Tokenizer> tokenizer = Tokenizer::load(argv[1]);
  const std::string text = read_text_file(argv[2], kMaxTextBytes);
  const auto add = [&](const char* name, std::vector<std::string_view> texts) {
    benchmark::RegisterBenchmark(name, [&tokenizer, texts](benchmark::State& state) {
      encode(state, *tokenizer, texts);
    })->Unit(benchmark::kMillisecond);
  };
  add("whole_text", {text});
  add("paragraphs", paragraphs_of(text));
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace
}  // namespace quern

int main(int argc, char** argv) {
  try {
    return quern::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "tokenize_bench: {}\n", error.what());
    return 1;
  }
}
