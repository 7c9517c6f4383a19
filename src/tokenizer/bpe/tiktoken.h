#pragma once

#include <filesystem>

#include "tokenizer/config/tokenizer_config.h"
#include "tokenizer/folder_tokenizer.h"

namespace quern {

/// The first Qwen's tokenizer: `qwen.tiktoken` holds a token in base64 and its rank, which is its
/// id, on each line. The control tokens follow: <|endoftext|>, <|im_start|>, <|im_end|>,
/// <|extra_0|> to <|extra_204|>, as many as the model's vocabulary has room for. Errors: not_found,
/// bad_file naming file and line. Source: tokenization_qwen.py.
TokenizerParts load_tiktoken(const std::filesystem::path& path, const TokenizerConfig& config);

}  // namespace quern
