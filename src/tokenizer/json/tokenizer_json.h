#pragma once

#include <filesystem>

#include "tokenizer/config/tokenizer_config.h"
#include "tokenizer/tokenizer_parts.h"

namespace quern {

/// tokenizer.json, with what transformers' tokenizer class makes of it. Errors: not_found;
/// bad_file; unsupported naming file, key and value for a component that is not known.
TokenizerParts load_tokenizer_json(const std::filesystem::path& path,
                                   const TokenizerConfig& config);

}  // namespace quern
