#include "tokenizer/json/read_pretokenizers.h"

#include <utility>
#include <vector>

#include "tokenizer/json/component.h"
#include "tokenizer/unicode/code_points.h"
#include "tokenizer/unicode/unicode.h"

namespace quern {
namespace {

/// Runs of word characters and of others, without the white space between.
class WordPattern final : public Pattern {
 public:
  void find_matches(std::string_view text, MatchBudget& /*budget*/,
                    const OnMatch& on_match) const override {
    enum class Kind : std::uint8_t { none, word, other };
    Kind kind = Kind::none;
    std::size_t begin = 0;
    const auto finish = [&](std::size_t end) {
      if (kind != Kind::none) on_match(begin, end);
    };
    for_each_code_point(text, [&](char32_t c, std::size_t at, std::size_t) {
      const Kind next = is_word_character(c) ? Kind::word
                        : is_white_space(c)  ? Kind::none
                                             : Kind::other;
      if (next == kind) return;
      finish(at);
      kind = next;
      begin = at;
    });
    finish(text.size());
  }
};

SplitBehavior read_behavior(const JsonObject& json, const std::string& fallback) {
  const std::string name = json.string("behavior").value_or(fallback);
  if (name == "Removed") return SplitBehavior::removed;
  if (name == "Isolated") return SplitBehavior::isolated;
  if (name == "MergedWithPrevious") return SplitBehavior::merged_with_previous;
  if (name == "MergedWithNext") return SplitBehavior::merged_with_next;
  if (name == "Contiguous") return SplitBehavior::contiguous;
  refuse_component(json, "pre_tokenizer.behavior", name,
                   "Removed, Isolated, MergedWithPrevious, MergedWithNext or Contiguous");
}

std::unique_ptr<PreTokenizer> split_at(std::unique_ptr<Pattern> pattern, SplitBehavior behavior,
                                       bool invert = false) {
  return std::make_unique<SplitPreTokenizer>(std::move(pattern), behavior, invert);
}

std::unique_ptr<PreTokenizer> split_at(CharacterPattern::Contains contains,
                                       SplitBehavior behavior) {
  return split_at(std::make_unique<CharacterPattern>(contains), behavior);
}

std::unique_ptr<PreTokenizer> read_metaspace(const JsonObject& json) {
  using Prepend = MetaspacePreTokenizer::Prepend;
  const std::string scheme = json.string("prepend_scheme").value_or("always");
  Prepend prepend = Prepend::always;
  if (scheme == "first") prepend = Prepend::first;
  if (scheme == "never" || !json.boolean("add_prefix_space").value_or(true)) {
    prepend = Prepend::never;
  }
  if (scheme != "always" && scheme != "first" && scheme != "never") {
    refuse_component(json, "pre_tokenizer.prepend_scheme", scheme, "always, first or never");
  }
  return std::make_unique<MetaspacePreTokenizer>(json.string("replacement").value_or("\u2581"),
                                                 prepend, json.boolean("split").value_or(true));
}

}  // namespace

bool read_pretokenizers(const JsonObject& root, bool bytes_for_model, TokenizerParts& parts) {
  std::vector<std::pair<std::string, JsonObject>> components;
  for_each_component(root, "pre_tokenizer", "pretokenizers",
                     [&](const std::string& type, const JsonObject& json) {
                       components.emplace_back(type, json);
                     });
  bool gives_bytes = false;
  const auto add = [&](std::unique_ptr<PreTokenizer> step) {
    parts.pre_tokenizers.push_back(std::move(step));
  };
  for (std::size_t i = 0; i < components.size(); ++i) {
    const auto& [type, json] = components[i];
    if (type == "ByteLevel") {
      gives_bytes = bytes_for_model && i + 1 == components.size();
      add(std::make_unique<ByteLevelPreTokenizer>(json.boolean("add_prefix_space").value_or(true),
                                                  json.boolean("use_regex").value_or(true),
                                                  gives_bytes));
    } else if (type == "Split") {
      add(split_at(read_pattern(json), read_behavior(json, ""),
                   json.boolean("invert").value_or(false)));
    } else if (type == "Digits") {
      add(split_at(&is_number, json.boolean("individual_digits").value_or(false)
                                   ? SplitBehavior::isolated
                                   : SplitBehavior::contiguous));
    } else if (type == "Punctuation") {
      add(split_at(&is_punctuation, read_behavior(json, "Isolated")));
    } else if (type == "Whitespace") {
      add(split_at(std::make_unique<WordPattern>(), SplitBehavior::removed, true));
    } else if (type == "WhitespaceSplit") {
      add(split_at(&is_white_space, SplitBehavior::removed));
    } else if (type == "BertPreTokenizer") {
      add(split_at(&is_white_space, SplitBehavior::removed));
      add(split_at(&is_punctuation, SplitBehavior::isolated));
    } else if (type == "Metaspace") {
      add(read_metaspace(json));
    } else if (type == "CharDelimiterSplit") {
      add(split_at(std::make_unique<LiteralPattern>(json.required_string("delimiter")),
                   SplitBehavior::removed));
    } else {
      refuse_component(json, "pre_tokenizer.type", type,
                       "ByteLevel, Split, Digits, Punctuation, Whitespace, WhitespaceSplit, "
                       "BertPreTokenizer, Metaspace, CharDelimiterSplit or Sequence");
    }
  }
  return gives_bytes;
}

}  // namespace quern
