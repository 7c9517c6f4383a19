#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tokenizer/added/added_tokens.h"
#include "tokenizer/decode/decoder.h"
#include "tokenizer/normalize/normalizer.h"
#include "tokenizer/pretokenize/pretokenizer.h"
#include "tokenizer/token_model.h"

namespace quern {

/// Everything that makes a tokenizer, as the files of a folder say: the pipeline of Hugging Face's
/// tokenizers, whatever the files.
struct TokenizerParts {
  NormalizerList normalizers;
  /// The text may become shorter by this factor at most; 0 when it may become as short as it likes.
  std::size_t max_shrinkage = 1;
  PreTokenizerList pre_tokenizers;
  std::unique_ptr<TokenModel> model;
  DecoderList decoders;
  std::vector<AddedToken> added_tokens;
  std::vector<std::int32_t> prefix_ids;  ///< what goes in front of a text: BOS, or nothing
  std::vector<std::int32_t> suffix_ids;  ///< what goes behind it, mostly nothing
  std::optional<std::int32_t> bos_id;
  std::vector<std::int32_t> eos_ids;
  bool cleans_up_spaces = false;  ///< decode() removes spaces in front of punctuation
  std::string description;
};

}  // namespace quern
