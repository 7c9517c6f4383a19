#pragma once

#include <filesystem>

#include "tokenizer/config/tokenizer_config.h"
#include "tokenizer/folder_tokenizer.h"

namespace quern {

/// tokenizer.model of LLaMA-1/2 through the SentencePiece library. Text at the very start gets the
/// space in front that the model was trained with; text behind a special token gets one only when
/// tokenizer_config.json says `legacy`, as Hugging Face's LlamaTokenizer does. BOS is added unless
/// the files say otherwise. Errors: not_found; bad_file; unsupported for a tokenizer.model of
/// another kind.
TokenizerParts load_sentencepiece(const std::filesystem::path& path, const TokenizerConfig& config);

}  // namespace quern
