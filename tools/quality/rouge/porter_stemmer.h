#pragma once

#include <string>
#include <string_view>

namespace quern::tools::rouge {

/// The stem of a word of [a-z0-9], as NLTK's PorterStemmer gives it in its default mode
/// (NLTK_EXTENSIONS). Digits count as consonants. Cost: linear in the length.
/// Source: Porter, "An algorithm for suffix stripping", Program 14.3 (1980); NLTK's deviations
/// from it are marked in the code.
std::string porter_stem(std::string_view word);

}  // namespace quern::tools::rouge
