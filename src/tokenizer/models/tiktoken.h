#pragma once

#include <cstdint>
#include <filesystem>

#include "tokenizer/config/tokenizer_config.h"
#include "tokenizer/tokenizer_parts.h"

namespace quern {

enum class TiktokenKind : std::uint8_t {
  /// The first Qwen's: text in NFC, Qwen's pattern. The control tokens follow the file's:
  /// <|endoftext|>, <|im_start|>, <|im_end|>, <|extra_0|> to <|extra_204|>, as many as the model's
  /// vocabulary has room for. Source: tokenization_qwen.py.
  qwen,
  /// Llama 3's tokenizer.model; the configuration names the control tokens.
  llama3,
};

/// A file that holds a token in base64 and its rank, which is its id, on each line. Errors:
/// not_found, bad_file naming file and line.
TokenizerParts load_tiktoken(const std::filesystem::path& path, const TokenizerConfig& config,
                             TiktokenKind kind);

}  // namespace quern
