#include "tools/quality/rouge/common_subsequence.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace quern::tools::rouge {
namespace {

/// The marks by the whole table of lengths, as rouge_score goes through it; returns the length.
std::size_t marks_by_table(Words reference, Words prediction, std::vector<bool>& marks) {
  std::vector<std::vector<std::size_t>> lengths(reference.size() + 1,
                                                std::vector<std::size_t>(prediction.size() + 1));
  for (std::size_t i = 0; i < reference.size(); ++i) {
    for (std::size_t j = 0; j < prediction.size(); ++j) {
      lengths[i + 1][j + 1] = reference[i] == prediction[j]
                                  ? lengths[i][j] + 1
                                  : std::max(lengths[i + 1][j], lengths[i][j + 1]);
    }
  }
  std::size_t i = reference.size();
  std::size_t j = prediction.size();
  while (i > 0 && j > 0) {
    if (reference[i - 1] == prediction[j - 1]) {
      marks[--i] = true;
      --j;
    } else if (lengths[i][j - 1] > lengths[i - 1][j]) {
      --j;
    } else {
      --i;
    }
  }
  return lengths.back().back();
}

std::vector<std::int32_t> draw(std::mt19937& generator, std::size_t size, int num_words) {
  std::vector<std::int32_t> words(size);
  for (std::int32_t& word : words) word = static_cast<std::int32_t>(generator() % num_words);
  return words;
}

void expect_same(const std::vector<std::int32_t>& a, const std::vector<std::int32_t>& b) {
  std::vector<bool> expected(a.size());
  std::vector<bool> marks(a.size());
  const std::size_t length = marks_by_table(a, b, expected);
  mark_common(a, b, marks);
  EXPECT_EQ(marks, expected) << a.size() << " and " << b.size() << " words";
  EXPECT_EQ(common_length(a, b), length);
}

TEST(CommonSubsequence, EqualsTheWholeTable) {
  std::mt19937 generator(1);
  for (int i = 0; i < 2000; ++i) {
    const int num_words = i % 3 == 0 ? 200 : 1 + i % 6;  // rare ones and frequent ones
    expect_same(draw(generator, generator() % 90, num_words),
                draw(generator, generator() % 150, num_words));
  }
}

TEST(CommonSubsequence, EqualsTheWholeTableOverLevelsOfRows) {
  std::mt19937 generator(2);
  for (const std::size_t size : {64, 65, 128, 600, 4097}) {
    expect_same(draw(generator, size, 100), draw(generator, 300, 100));
  }
}

TEST(CommonSubsequence, TakesLongTextsInLittleMemory) {
  // A bit of each pair of words would be 1.2 GB.
  std::mt19937 generator(3);
  const auto a = draw(generator, 100'000, 1000);
  std::vector<bool> marks(a.size());
  mark_common(a, a, marks);
  EXPECT_EQ(std::count(marks.begin(), marks.end(), true), 100'000);
}

}  // namespace
}  // namespace quern::tools::rouge
