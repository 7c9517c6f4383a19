#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "io/json/json.h"
#include "tokenizer/added/added_tokens.h"
#include "tokenizer/config/tokenizer_class.h"

namespace quern {

/// A token that the files name for a purpose.
struct NamedToken {
  std::string key;  ///< "eos_token"
  std::string content;
  std::optional<AddedToken> flags;  ///< where it is written as an object
  std::string where;                ///< "…/tokenizer_config.json: key 'eos_token'"
};

/// What a folder says about its tokenizer beside the vocabulary: tokenizer_config.json,
/// special_tokens_map.json, added_tokens.json, and config.json's model_type and vocab_size.
struct TokenizerConfig {
  /// transformers' class without "Fast": tokenizer_config.json's tokenizer_class, else
  /// config.json's.
  std::string tokenizer_class;
  std::string model_type;
  TokenizerClass rebuilt_class = TokenizerClass::none;
  std::optional<std::int64_t> vocab_size;  ///< the model's

  std::optional<bool> add_bos_token;
  std::optional<bool> add_eos_token;
  std::optional<bool> add_prefix_space;
  std::optional<bool> legacy;
  bool clean_up_tokenization_spaces = false;
  bool clean_up_even_for_bpe = false;

  std::vector<NamedToken> named_tokens;  ///< bos_token, eos_token, unk_token, …
  std::set<std::string> null_tokens;     ///< keys of those that a file sets to null
  std::vector<NamedToken> extra_tokens;  ///< further tokens that the files call special
  /// added_tokens_decoder, else added_tokens.json.
  std::vector<AddedToken> added_tokens;
  bool has_added_tokens_decoder = false;

  const NamedToken* find_named(const std::string& key) const;
};

/// Reads what is there; every file may be missing. Errors: bad_file naming file and key.
TokenizerConfig read_tokenizer_config(const std::filesystem::path& folder);

/// One entry of added_tokens or added_tokens_decoder, but for its id. Errors: bad_file.
AddedToken read_added_token(const JsonObject& json);

}  // namespace quern
