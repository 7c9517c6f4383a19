#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/added/string_finder.h"

namespace quern {

class TokenModel;

/// A token that is found in the text before it is split and encoded. The flags are those of Hugging
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

/// Gives added tokens their ids as Hugging Face's AddedVocabulary does: one that the vocabulary or
/// an earlier added token has keeps its id, a new one gets the next free one, whatever id the file
/// says. Source: tokenizer/added_vocabulary.rs.
class AddedTokenTable {
 public:
  explicit AddedTokenTable(const TokenModel& model) : model_(model) {}

  /// The same content again replaces the flags. An empty token is left out. Errors: bad_file naming
  /// `where` when the tokens together hold too many bytes.
  void add(AddedToken token, const std::string& where);
  const AddedToken* find(std::string_view content) const;
  const AddedToken* find(std::int32_t id) const;
  std::vector<AddedToken> tokens() const;

 private:
  const TokenModel& model_;
  std::map<std::string, std::int32_t, std::less<>> ids_;
  std::map<std::int32_t, AddedToken> tokens_;
  std::size_t num_bytes_ = 0;
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
  /// What decoding begins with: the content as it is looked for, or nothing for another id.
  std::string written(std::int32_t id) const;
  /// The most bytes of text that one of them stands for; 0 for any number: one that strips.
  std::size_t max_token_bytes() const { return max_token_bytes_; }
  bool strips() const { return strips_; }

  /// Takes the text between added tokens (token is null, text not empty) or an added token.
  using Sink = std::function<void(std::string_view text, const AddedToken* token)>;
  /// Cuts `text` at the added tokens that are looked for in normalized text, or at those that are
  /// looked for in the text as written. The leftmost is found first, of those the longest.
  /// `is_plain`: whether a token found at these bytes of `text` is ordinary text; null: never.
  using IsPlain = std::function<bool(const AddedToken& token, std::size_t begin, std::size_t end)>;
  void split(std::string_view text, bool normalized, bool parse_special, const Sink& sink,
             const IsPlain& is_plain = nullptr) const;

 private:
  std::vector<AddedToken> tokens_;    // by id
  std::vector<std::string> written_;  // as they are looked for
  std::vector<std::size_t> by_content_;
  StringFinder as_written_;
  StringFinder normalized_;
  std::size_t max_token_bytes_ = 0;
  bool strips_ = false;
};

}  // namespace quern
