#pragma once

#include "io/json/json.h"
#include "tokenizer/tokenizer_parts.h"

namespace quern {

/// "decoder": fills in `parts.decoders`. Errors: bad_file; unsupported naming file, key and value
/// for an unknown kind.
void read_decoders(const JsonObject& root, TokenizerParts& parts);

/// "post_processor": fills in `parts.prefix_ids` and `parts.suffix_ids`. False for null. Errors: as
/// read_decoders.
bool read_post_processor(const JsonObject& root, TokenizerParts& parts);

}  // namespace quern
