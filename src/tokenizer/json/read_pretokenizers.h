#pragma once

#include "io/json/json.h"
#include "tokenizer/tokenizer_parts.h"

namespace quern {

/// "pre_tokenizer": fills in `parts.pre_tokenizers`. Returns whether the model must read the bytes
/// of pieces, which a ByteLevel that stands last leaves as they are, if `bytes_for_model` allows
/// it. Errors: bad_file; unsupported naming file, key and value for an unknown kind.
bool read_pretokenizers(const JsonObject& root, bool bytes_for_model, TokenizerParts& parts);

}  // namespace quern
