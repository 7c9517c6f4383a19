#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace quern::tools::rouge {

/// The words that ROUGE counts, as Google's rouge_score finds them: runs of [a-z0-9] in the
/// lower-cased text, those longer than three letters replaced by their stems if `stem`. `text` is
/// UTF-8; what is not ASCII parts words, but for the two letters whose lower case has an ASCII
/// letter in Unicode (the Kelvin sign and I with a dot).
std::vector<std::string> find_words(std::string_view text, bool stem);

}  // namespace quern::tools::rouge
