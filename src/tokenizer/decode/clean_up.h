#pragma once

#include <array>
#include <string>
#include <string_view>
#include <utility>

namespace quern {

/// clean_up_tokenization of transformers for text that comes in parts: no spaces in front of
/// punctuation and contractions. The parts that come out joined are the whole text cleaned up.
class SpaceCleaner {
 public:
  /// The cleaned text that no later part can change.
  std::string add(std::string_view text);
  /// What still waits, at the end of the text.
  std::string finish();

 private:
  using Rule = std::pair<std::string_view, std::string_view>;
  /// In this order; each rewrites what the one before has made. Source: tokenization_utils_base.py.
  static constexpr std::array<Rule, 10> kRules = {{{" .", "."},
                                                   {" ?", "?"},
                                                   {" !", "!"},
                                                   {" ,", ","},
                                                   {" ' ", "'"},
                                                   {" n't", "n't"},
                                                   {" 'm", "'m"},
                                                   {" 's", "'s"},
                                                   {" 've", "'ve"},
                                                   {" 're", "'re"}}};

  std::string apply(std::size_t rule, std::string_view text);

  std::array<std::string, kRules.size()> pending_;  // before each rule: may begin a match
};

/// The same for a whole text.
std::string clean_up_spaces(std::string_view text);

}  // namespace quern
