#include "tools/quality/rouge/rouge.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>

#include "tools/quality/rouge/common_subsequence.h"
#include "tools/quality/rouge/words.h"

namespace quern::tools::rouge {
namespace {

using Numbers = std::vector<std::int32_t>;

/// A text as numbered words: each line that has some, and all of them in a row.
struct Text {
  std::vector<Numbers> sentences;
  Numbers words;
};

/// Numbers the words of two texts alike.
class Numberer {
 public:
  explicit Numberer(bool stem) : stem_(stem) {}

  Text number(std::string_view text) {
    Text numbered;
    while (!text.empty()) {
      const std::string_view line = text.substr(0, text.find('\n'));
      text.remove_prefix(std::min(line.size() + 1, text.size()));
      Numbers sentence;
      for (std::string& word : find_words(line, stem_)) sentence.push_back(number_of(word));
      if (sentence.empty()) continue;
      numbered.words.insert(numbered.words.end(), sentence.begin(), sentence.end());
      numbered.sentences.push_back(std::move(sentence));
    }
    return numbered;
  }

  std::size_t num_words() const { return numbers_.size(); }

 private:
  std::int32_t number_of(std::string& word) {
    const auto next = static_cast<std::int32_t>(numbers_.size());
    return numbers_.try_emplace(std::move(word), next).first->second;
  }

  bool stem_;
  std::map<std::string, std::int32_t> numbers_;  // a hash table would be quadratic on chosen words
};

Score make_score(std::size_t hits, std::size_t num_predicted, std::size_t num_expected) {
  const auto share = [&](std::size_t total) {
    return static_cast<double>(hits) / static_cast<double>(std::max<std::size_t>(total, 1));
  };
  Score score = {share(num_predicted), share(num_expected), 0};
  const double sum = score.precision + score.recall;
  if (sum > 0) score.fmeasure = 2 * score.precision * score.recall / sum;
  return score;
}

/// Runs of `length` words, at most two, each as one number; sorted.
std::vector<std::uint64_t> sorted_ngrams(Words words, std::size_t length) {
  std::vector<std::uint64_t> ngrams;
  for (std::size_t i = 0; i + length <= words.size(); ++i) {
    std::uint64_t ngram = 0;
    for (const std::int32_t word : words.subspan(i, length)) {
      ngram = ngram << 32 | static_cast<std::uint32_t>(word);
    }
    ngrams.push_back(ngram);
  }
  std::sort(ngrams.begin(), ngrams.end());
  return ngrams;
}

Score ngram_score(Words prediction, Words reference, std::size_t length) {
  const auto predicted = sorted_ngrams(prediction, length);
  const auto expected = sorted_ngrams(reference, length);
  std::vector<std::uint64_t> common;  // each as often as in the text that has fewer of it
  std::set_intersection(predicted.begin(), predicted.end(), expected.begin(), expected.end(),
                        std::back_inserter(common));
  return make_score(common.size(), predicted.size(), expected.size());
}

std::vector<int> count_words(const Numbers& words, std::size_t num_words) {
  std::vector<int> counts(num_words, 0);
  for (const std::int32_t word : words) ++counts[static_cast<std::size_t>(word)];
  return counts;
}

/// Summary-level: of each reference sentence the words that are common with any predicted sentence,
/// but none more often than either whole text has it.
Score union_score(const Text& prediction, const Text& reference, std::size_t num_words) {
  std::vector<int> predicted = count_words(prediction.words, num_words);
  std::vector<int> expected = count_words(reference.words, num_words);
  std::size_t hits = 0;
  for (const Numbers& sentence : reference.sentences) {
    std::vector<bool> marks(sentence.size(), false);
    for (const Numbers& predicted_sentence : prediction.sentences) {
      mark_common(sentence, predicted_sentence, marks);
    }
    for (std::size_t i = 0; i < sentence.size(); ++i) {
      const auto word = static_cast<std::size_t>(sentence[i]);
      if (!marks[i] || predicted[word] == 0 || expected[word] == 0) continue;
      ++hits;
      --predicted[word];
      --expected[word];
    }
  }
  return make_score(hits, prediction.words.size(), reference.words.size());
}

}  // namespace

Scores score_pair(std::string_view prediction, std::string_view reference, bool stem) {
  Numberer numberer(stem);
  const Text predicted = numberer.number(prediction);
  const Text expected = numberer.number(reference);
  return {ngram_score(predicted.words, expected.words, 1),
          ngram_score(predicted.words, expected.words, 2),
          make_score(common_length(expected.words, predicted.words), predicted.words.size(),
                     expected.words.size()),
          union_score(predicted, expected, numberer.num_words())};
}

std::vector<double> fmeasures(std::span<const Scores> pairs, std::size_t kind) {
  std::vector<double> values;
  values.reserve(pairs.size());
  for (const Scores& scores : pairs) values.push_back(scores[kind].fmeasure);
  return values;
}

std::array<Summary, kNumRouge> summarize_scores(std::span<const Scores> pairs,
                                                const BootstrapOptions& options) {
  const double num_pairs = static_cast<double>(std::max<std::size_t>(pairs.size(), 1));
  std::array<Summary, kNumRouge> summaries;
  for (std::size_t kind = 0; kind < kNumRouge; ++kind) {
    Score& mean = summaries[kind].mean;
    for (const Scores& scores : pairs) {
      mean.precision += scores[kind].precision / num_pairs;
      mean.recall += scores[kind].recall / num_pairs;
      mean.fmeasure += scores[kind].fmeasure / num_pairs;
    }
    summaries[kind].fmeasure = bootstrap_mean(fmeasures(pairs, kind), options);
  }
  return summaries;
}

}  // namespace quern::tools::rouge
