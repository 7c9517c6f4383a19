#pragma once

#include <filesystem>

#include "tokenizer/config/tokenizer_config.h"
#include "tokenizer/folder_tokenizer.h"

namespace quern {

/// GPT-2's pair of files, vocab.json and merges.txt. How to cut the text is not in them: the
/// configuration's tokenizer class says it. Errors: not_found; bad_file; unsupported for a class
/// that is neither GPT2Tokenizer nor Qwen2Tokenizer.
TokenizerParts load_vocab_and_merges(const std::filesystem::path& vocab_path,
                                     const std::filesystem::path& merges_path,
                                     const TokenizerConfig& config);

}  // namespace quern
