#pragma once

#include <string>
#include <vector>

#include "tokenizer/config/tokenizer_class.h"
#include "tokenizer/config/tokenizer_config.h"
#include "tokenizer/tokenizer_parts.h"

namespace quern {

/// What the file with the vocabulary says about tokens.
struct SpecialTokens {
  std::string file;
  std::vector<AddedToken> tokens_of_file;
  bool file_is_json = false;
  bool file_has_post_processor = false;
  /// What its kind of model takes for BOS, EOS and unknown where no file names them.
  std::optional<std::string> bos;
  std::optional<std::string> eos;
  std::optional<std::string> unk;
};

/// Completes `parts` by what the folder's configuration says: its added tokens, the tokens it names
/// as special, BOS and EOS, in the order in which transformers 5 adds them. Errors: bad_file.
void apply_config(const TokenizerConfig& config, const SpecialTokens& special,
                  TokenizerClass built_by, TokenizerParts& parts);

}  // namespace quern
