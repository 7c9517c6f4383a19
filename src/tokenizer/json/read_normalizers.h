#pragma once

#include "io/json/json.h"
#include "tokenizer/tokenizer_parts.h"

namespace quern {

/// "normalizer": fills in `parts.normalizers`. Errors: bad_file; unsupported naming file, key and
/// value for an unknown kind.
void read_normalizers(const JsonObject& root, TokenizerParts& parts);

}  // namespace quern
