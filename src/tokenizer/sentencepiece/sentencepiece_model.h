#pragma once

#include <filesystem>

#include "tokenizer/config/tokenizer_config.h"
#include "tokenizer/tokenizer_parts.h"

namespace quern {

/// A SentencePiece model (tokenizer.model), BPE or Unigram, as transformers 5 reads it: LLaMA's
/// class takes the pieces alone and makes merges of them in the order of their ids; others obey the
/// file's scores and its normalizer. In a folder without configuration SentencePiece itself is
/// followed. Errors: not_found; as parse_sentencepiece_file.
TokenizerParts load_sentencepiece(const std::filesystem::path& path, const TokenizerConfig& config);

}  // namespace quern
