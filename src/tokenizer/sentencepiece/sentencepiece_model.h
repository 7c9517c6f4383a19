#pragma once

#include <filesystem>

#include "tokenizer/config/tokenizer_config.h"
#include "tokenizer/tokenizer_parts.h"

namespace quern {

/// A SentencePiece model (tokenizer.model), BPE or Unigram. Its own normalizer applies; what stands
/// in front of a text is up to transformers' class: LLaMA's puts a space where none is, others one
/// more in any case. Errors: not_found; as parse_sentencepiece_file.
TokenizerParts load_sentencepiece(const std::filesystem::path& path, const TokenizerConfig& config);

}  // namespace quern
