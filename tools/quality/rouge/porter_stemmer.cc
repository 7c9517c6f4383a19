#include "tools/quality/rouge/porter_stemmer.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>

namespace quern::tools::rouge {
namespace {

/// A y is a vowel after a consonant, and a consonant elsewhere.
bool is_vowel(char letter, bool after_consonant) {
  constexpr std::string_view kVowels = "aeiou";
  return letter == 'y' ? after_consonant : kVowels.find(letter) != std::string_view::npos;
}

/// Calls visit(true) for each consonant of the word and visit(false) for each vowel, in order.
template <typename Visit>
void for_each_letter(std::string_view word, const Visit& visit) {
  bool consonant = false;
  for (const char letter : word) {
    consonant = !is_vowel(letter, consonant);
    visit(consonant);
  }
}

/// Porter's m: how many times vowels are followed by consonants.
int measure(std::string_view stem) {
  int count = 0;
  bool after_vowel = false;
  for_each_letter(stem, [&](bool consonant) {
    count += static_cast<int>(consonant && after_vowel);
    after_vowel = !consonant;
  });
  return count;
}

bool contains_vowel(std::string_view stem) {
  bool found = false;
  for_each_letter(stem, [&](bool consonant) { found = found || !consonant; });
  return found;
}

/// Whether the word's last letters are consonants (c) and vowels (v) as `pattern` says.
bool ends_like(std::string_view word, std::string_view pattern) {
  if (word.size() < pattern.size()) return false;
  std::size_t position = 0;
  bool alike = true;
  for_each_letter(word, [&](bool consonant) {
    const std::size_t left = word.size() - position++;
    if (left <= pattern.size()) {
      alike = alike && (pattern[pattern.size() - left] == 'c') == consonant;
    }
  });
  return alike;
}

bool ends_double_consonant(std::string_view word) {
  return word.size() >= 2 && word.back() == word[word.size() - 2] && ends_like(word, "c");
}

/// Porter's *o, whose last letter is not w, x or y. NLTK: also a word of a vowel and a consonant.
bool ends_cvc(std::string_view word) {
  if (word.size() == 2) return ends_like(word, "vc");
  constexpr std::string_view kExcluded = "wxy";
  return ends_like(word, "cvc") && kExcluded.find(word.back()) == std::string_view::npos;
}

std::string_view without(std::string_view word, std::string_view suffix) {
  return word.substr(0, word.size() - suffix.size());
}

void replace_suffix(std::string& word, std::string_view suffix, std::string_view replacement) {
  word.replace(word.size() - suffix.size(), suffix.size(), replacement);
}

struct Rule {
  std::string_view suffix;
  std::string_view replacement;
};

/// The first rule whose suffix the word has decides, even if it then may not apply.
const Rule* find_rule(std::string_view word, std::span<const Rule> rules) {
  const auto rule = std::find_if(rules.begin(), rules.end(),
                                 [&](const Rule& one) { return word.ends_with(one.suffix); });
  return rule == rules.end() ? nullptr : &*rule;
}

/// Applies the first rule with a suffix of the word, if the rest's measure is above `bound`.
void apply(std::string& word, std::span<const Rule> rules, int bound) {
  const Rule* rule = find_rule(word, rules);
  if (rule != nullptr && measure(without(word, rule->suffix)) > bound) {
    replace_suffix(word, rule->suffix, rule->replacement);
  }
}

// NOLINTBEGIN(bugprone-branch-clone): one branch per rule, in the order of the algorithm
void step_1a(std::string& word) {
  if (word.size() == 4 && word.ends_with("ies")) {  // NLTK: dies, die
    word.pop_back();
  } else if (word.ends_with("sses") || word.ends_with("ies")) {
    word.resize(word.size() - 2);
  } else if (word.ends_with('s') && !word.ends_with("ss")) {
    word.pop_back();
  }
}

/// What step 1b does to a word that has lost its -ed or -ing.
void restore_ending(std::string& word) {
  constexpr std::string_view kKeptDoubles = "lsz";
  if (word.ends_with("at") || word.ends_with("bl") || word.ends_with("iz")) {
    word += 'e';
  } else if (ends_double_consonant(word)) {
    if (kKeptDoubles.find(word.back()) == std::string_view::npos) word.pop_back();
  } else if (measure(word) == 1 && ends_cvc(word)) {
    word += 'e';
  }
}
// NOLINTEND(bugprone-branch-clone)

void step_1b(std::string& word) {
  if (word.ends_with("ied")) {  // NLTK: died, die; spied, spi
    word.resize(word.size() - (word.size() == 4 ? 1 : 2));
    return;
  }
  if (word.ends_with("eed")) {
    if (measure(without(word, "eed")) > 0) word.pop_back();
    return;
  }
  for (const std::string_view suffix : {"ed", "ing"}) {
    if (word.ends_with(suffix) && contains_vowel(without(word, suffix))) {
      replace_suffix(word, suffix, "");
      restore_ending(word);
      return;
    }
  }
}

/// NLTK: after a consonant that does not begin the word, whether or not there is a vowel.
void step_1c(std::string& word) {
  if (word.size() > 2 && word.ends_with('y') && ends_like(without(word, "y"), "c")) {
    word.back() = 'i';
  }
}

void step_2(std::string& word) {
  static constexpr auto kRules = std::to_array<Rule>({
      {"ational", "ate"}, {"tional", "tion"}, {"enci", "ence"},   {"anci", "ance"},
      {"izer", "ize"},    {"bli", "ble"},     {"alli", "al"},     {"entli", "ent"},
      {"eli", "e"},       {"ousli", "ous"},   {"ization", "ize"}, {"ation", "ate"},
      {"ator", "ate"},    {"alism", "al"},    {"iveness", "ive"}, {"fulness", "ful"},
      {"ousness", "ous"}, {"aliti", "al"},    {"iviti", "ive"},   {"biliti", "ble"},
      {"fulli", "ful"},  // NLTK's
  });
  // NLTK: -alli goes first, and what it leaves runs through the step too.
  if (word.ends_with("alli") && measure(without(word, "alli")) > 0) {
    replace_suffix(word, "alli", "al");
  }
  if (find_rule(word, kRules) != nullptr) {
    apply(word, kRules, 0);
  } else if (word.ends_with("logi") && measure(without(word, "ogi")) > 0) {
    word.pop_back();  // NLTK: the l counts as part of the stem
  }
}

void step_3(std::string& word) {
  static constexpr auto kRules = std::to_array<Rule>({{"icate", "ic"},
                                                      {"ative", ""},
                                                      {"alize", "al"},
                                                      {"iciti", "ic"},
                                                      {"ical", "ic"},
                                                      {"ful", ""},
                                                      {"ness", ""}});
  apply(word, kRules, 0);
}

void step_4(std::string& word) {
  static constexpr auto kRules = std::to_array<Rule>({{"al", ""},
                                                      {"ance", ""},
                                                      {"ence", ""},
                                                      {"er", ""},
                                                      {"ic", ""},
                                                      {"able", ""},
                                                      {"ible", ""},
                                                      {"ant", ""},
                                                      {"ement", ""},
                                                      {"ment", ""},
                                                      {"ent", ""},
                                                      {"ion", ""},
                                                      {"ou", ""},
                                                      {"ism", ""},
                                                      {"ate", ""},
                                                      {"iti", ""},
                                                      {"ous", ""},
                                                      {"ive", ""},
                                                      {"ize", ""}});
  const bool kept_ion = word.ends_with("ion") && !word.ends_with("sion") && !word.ends_with("tion");
  if (!kept_ion) apply(word, kRules, 1);
}

void step_5(std::string& word) {
  if (word.ends_with('e')) {
    const std::string_view stem = without(word, "e");
    const int stem_measure = measure(stem);
    if (stem_measure > 1 || (stem_measure == 1 && !ends_cvc(stem))) word.pop_back();
  }
  if (word.ends_with("ll") && measure(without(word, "l")) > 1) word.pop_back();
}

/// NLTK's irregular forms.
std::string_view irregular_stem(std::string_view word) {
  static constexpr auto kForms = std::to_array<Rule>({{"skies", "sky"},
                                                      {"sky", "sky"},
                                                      {"dying", "die"},
                                                      {"lying", "lie"},
                                                      {"tying", "tie"},
                                                      {"news", "news"},
                                                      {"innings", "inning"},
                                                      {"inning", "inning"},
                                                      {"outings", "outing"},
                                                      {"outing", "outing"},
                                                      {"cannings", "canning"},
                                                      {"canning", "canning"},
                                                      {"howe", "howe"},
                                                      {"proceed", "proceed"},
                                                      {"exceed", "exceed"},
                                                      {"succeed", "succeed"}});
  for (const Rule& form : kForms) {
    if (form.suffix == word) return form.replacement;
  }
  return {};
}

}  // namespace

std::string porter_stem(std::string_view word) {
  if (const std::string_view stem = irregular_stem(word); !stem.empty()) return std::string(stem);
  std::string stem(word);
  if (stem.size() <= 2) return stem;
  step_1a(stem);
  step_1b(stem);
  step_1c(stem);
  step_2(stem);
  step_3(stem);
  step_4(stem);
  step_5(stem);
  return stem;
}

}  // namespace quern::tools::rouge
