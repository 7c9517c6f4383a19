#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tokenizer/config/tokenizer_config.h"
#include "tokenizer/folder_tokenizer.h"

namespace quern {

/// What the control tokens are where no file names them.
struct DefaultTokens {
  std::optional<std::string> bos;
  std::optional<std::string> eos;
  std::vector<std::string> others;
  bool add_bos = false;
};

/// Completes `parts` by what the folder's configuration says: its added tokens, the tokens it names
/// as special, BOS and EOS. `file` is the one that holds the vocabulary. Errors: bad_file for
/// added tokens that contradict each other or the vocabulary, and for a bos_token or eos_token that
/// is no token.
void apply_config(const TokenizerConfig& config, const DefaultTokens& defaults,
                  const std::string& file, TokenizerParts& parts);

}  // namespace quern
