#include "tools/quality/rouge/words.h"

#include <utility>

#include "tools/quality/rouge/porter_stemmer.h"

namespace quern::tools::rouge {
namespace {

/// The lower-case letter or digit for one byte, or 0 for what parts words.
char word_letter(char byte) {
  if (byte >= 'A' && byte <= 'Z') return static_cast<char>(byte - 'A' + 'a');
  const bool kept = (byte >= 'a' && byte <= 'z') || (byte >= '0' && byte <= '9');
  return kept ? byte : '\0';
}

}  // namespace

std::vector<std::string> find_words(std::string_view text, bool stem) {
  constexpr std::string_view kKelvinSign = "\xE2\x84\xAA";
  constexpr std::string_view kDottedCapitalI = "\xC4\xB0";  // lower case: i and a combining dot
  constexpr std::size_t kLongestUnstemmed = 3;
  std::vector<std::string> words;
  std::string word;
  const auto end_word = [&] {
    if (stem && word.size() > kLongestUnstemmed) word = porter_stem(word);
    if (!word.empty()) words.push_back(std::exchange(word, {}));
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (const char letter = word_letter(text[i]); letter != '\0') {
      word += letter;
    } else if (text.substr(i).starts_with(kKelvinSign)) {
      word += 'k';
      i += kKelvinSign.size() - 1;
    } else {
      if (text.substr(i).starts_with(kDottedCapitalI)) word += 'i';
      end_word();
    }
  }
  end_word();
  return words;
}

}  // namespace quern::tools::rouge
