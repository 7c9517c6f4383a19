// ROUGE of as many pairs as a news test set has, with stemming and intervals, on one thread: random
// words in the lengths of CNN/DailyMail's highlights.

#include <benchmark/benchmark.h>

#include <random>
#include <string>
#include <vector>

#include "tools/quality/rouge/rouge.h"

namespace quern::tools::rouge {
namespace {

constexpr int kNumPairs = 11000;
constexpr int kWordsOfText = 56;
constexpr int kWordsOfSentence = 14;

class RandomNews {
 public:
  std::string text() {
    std::string text;
    for (int word = 1; word <= kWordsOfText; ++word) {
      text += random_word();
      text += word % kWordsOfSentence == 0 ? '\n' : ' ';
    }
    return text;
  }

 private:
  /// From a small vocabulary, so that texts share words as a summary and its article do.
  std::string random_word() {
    constexpr int kVocabSize = 400;
    std::mt19937 letters(std::uniform_int_distribution<unsigned>(1, kVocabSize)(generator_));
    std::string word(3 + letters() % 8, ' ');
    for (char& letter : word) letter = static_cast<char>('a' + letters() % 26);
    return word + (letters() % 3 == 0 ? "ing" : "");
  }

  std::mt19937 generator_{1};
};

void score_test_set(benchmark::State& state) {
  RandomNews news;
  std::vector<std::string> texts;
  for (int i = 0; i < 2 * kNumPairs; ++i) texts.push_back(news.text());
  for (auto _ : state) {
    std::vector<Scores> scores;
    for (std::size_t i = 0; i < texts.size(); i += 2) {
      scores.push_back(score_pair(texts[i], texts[i + 1], true));
    }
    benchmark::DoNotOptimize(summarize_scores(scores));
  }
}
BENCHMARK(score_test_set)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace quern::tools::rouge

BENCHMARK_MAIN();
