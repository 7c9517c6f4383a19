#pragma once

#include <filesystem>

#include "tokenizer/config/tokenizer_config.h"
#include "tokenizer/folder_tokenizer.h"

namespace quern {

/// tokenizer.json of the byte-level BPE kind (GPT-2, Llama 3, Qwen2). Errors: not_found; bad_file;
/// unsupported naming file, key and value for another model, normalizer, pre-tokenizer,
/// post-processor or decoder.
TokenizerParts load_tokenizer_json(const std::filesystem::path& path,
                                   const TokenizerConfig& config);

}  // namespace quern
