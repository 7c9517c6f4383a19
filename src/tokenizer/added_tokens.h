#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace quern {

/// A token that is found in the text before it is cut and encoded. The flags are those of Hugging
/// Face's AddedToken.
struct AddedToken {
  std::string content;
  std::int32_t id = 0;
  bool special = false;      ///< a control token: skip_special leaves it out, parse_special = false
                             ///< does not look for it
  bool single_word = false;  ///< not inside a word
  bool lstrip = false;       ///< takes the white space before it along
  bool rstrip = false;       ///< takes the white space after it along
  bool normalized = false;   ///< looked for in the normalized text, else in the text as written
};

/// The ids of the tokens, in order.
std::vector<std::int32_t> ids_of(const std::vector<AddedToken>& tokens);

/// Finds in a text the leftmost of some strings, and of those the longest.
class StringFinder {
 public:
  struct Entry {
    std::string text;
    std::size_t index;
  };
  struct Match {
    std::size_t begin;
    std::size_t length;
    std::size_t index;
  };

  StringFinder() = default;
  explicit StringFinder(std::vector<Entry> entries);
  /// The first match that begins at `from` or later.
  std::optional<Match> find(std::string_view text, std::size_t from) const;

 private:
  std::optional<Match> longest_at(std::string_view text, std::size_t begin) const;

  std::vector<Entry> entries_;  // sorted by text
  std::array<bool, 256> begins_an_entry_{};
};

/// The added tokens of a tokenizer. Immutable once built: threads may share it.
class AddedTokens {
 public:
  using Normalize = std::function<std::string(std::string_view)>;

  AddedTokens() = default;
  /// The tokens must have different contents and ids. `normalize` is what will be applied to the
  /// text.
  AddedTokens(std::vector<AddedToken> tokens, const Normalize& normalize);

  const AddedToken* find(std::int32_t id) const;
  const AddedToken* find(std::string_view content) const;
  const std::vector<AddedToken>& tokens() const { return tokens_; }

  /// Takes the text between added tokens (token is null, text not empty) or an added token.
  using Sink = std::function<void(std::string_view text, const AddedToken* token)>;
  /// Cuts `text` at the added tokens that are looked for in normalized text, or at those that are
  /// looked for in the text as written. The leftmost is found first, of those the longest.
  void split(std::string_view text, bool normalized, bool parse_special, const Sink& sink) const;

 private:
  std::vector<AddedToken> tokens_;
  std::unordered_map<std::int32_t, std::size_t> by_id_;
  std::map<std::string, std::size_t, std::less<>> by_content_;
  StringFinder as_written_;
  StringFinder normalized_;
};

}  // namespace quern
