#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "io/json.h"
#include "tokenizer/added_tokens.h"

namespace quern {

/// A token that the files name for a purpose, and the file that does.
struct NamedToken {
  std::string content;
  std::string where;  ///< "…/tokenizer_config.json: key 'eos_token'"
};

/// What a folder says about its tokenizer beside the vocabulary: tokenizer_config.json,
/// special_tokens_map.json, added_tokens.json, and config.json's model_type and vocab_size.
struct TokenizerConfig {
  /// Hugging Face's class without "Fast": tokenizer_class, else by model_type, else empty.
  std::string tokenizer_class;
  std::optional<std::int64_t> vocab_size;  ///< the model's

  std::optional<bool> add_bos_token;
  std::optional<bool> add_eos_token;
  std::optional<bool> add_prefix_space;
  bool legacy = false;

  /// Set when a file has the key, if only to say null.
  bool has_bos_token = false;
  bool has_eos_token = false;
  std::optional<NamedToken> bos_token;
  std::optional<NamedToken> eos_token;
  /// Further tokens that the files call special: unk_token, pad_token, additional_special_tokens, …
  std::vector<std::string> other_special_tokens;
  /// added_tokens_decoder, else added_tokens.json.
  std::vector<AddedToken> added_tokens;
  std::string added_tokens_file;
};

/// Reads what is there; every file may be missing. Errors: bad_file naming file and key.
TokenizerConfig read_tokenizer_config(const std::filesystem::path& folder);

/// One entry of added_tokens or added_tokens_decoder, but for its id. Errors: bad_file.
AddedToken read_added_token(const JsonObject& json);

}  // namespace quern
