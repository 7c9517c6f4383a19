#include "tools/quality/rouge/porter_stemmer.h"

#include <gtest/gtest.h>

#include <sstream>

#include "tests/support/test_files.h"

namespace quern::tools::rouge {
namespace {

// Words of the fairy tales, those where stemming does more than to drop an s, and some that no
// tale has, with the stems that NLTK 3.10 gives.
TEST(PorterStemmer, GivesNltksStems) {
  std::istringstream lines(testing::read_file(std::filesystem::path(QUERN_SOURCE_DIR) / "tests" /
                                              "tools" / "quality" / "rouge" / "stems.txt"));
  std::string word;
  std::string stem;
  int count = 0;
  for (; lines >> word >> stem; ++count) EXPECT_EQ(porter_stem(word), stem) << word;
  EXPECT_GT(count, 2000);
}

TEST(PorterStemmer, GivesNltksStemsOfPortersVocabulary) {
  const auto words_file = testing::shared_path("rouge/porter/porter_vocabulary.txt");
  QUERN_SKIP_WITHOUT(words_file);
  std::istringstream words(testing::read_file(words_file));
  std::istringstream stems(
      testing::read_file(testing::shared_path("rouge/porter/porter_nltk_output.txt")));
  std::string word;
  std::string stem;
  int count = 0;
  for (; words >> word && stems >> stem; ++count) EXPECT_EQ(porter_stem(word), stem) << word;
  EXPECT_EQ(count, 23531);
}

TEST(PorterStemmer, LeavesShortWords) {
  for (const char* word : {"", "s", "y", "as", "99"}) EXPECT_EQ(porter_stem(word), word);
}

// A run of y takes turns as consonant and vowel; counting each anew would take quadratic time.
TEST(PorterStemmer, TakesLongWords) {
  const std::string long_word(2000000, 'y');
  EXPECT_EQ(porter_stem(long_word + "ing").size(), long_word.size());
}

}  // namespace
}  // namespace quern::tools::rouge
