#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/json.h"
#include "tokenizer/pretokenize/pretokenizer.h"

namespace quern {

/// Readers of tokenizer.json's parts around the model. A part that byte-level BPE has no use for,
/// an unknown one, or a known one with an unknown key or value is an error: unsupported, naming
/// file, key and value.

/// "normalizer": null, NFC or a Sequence of it. True when the text must be normalized to NFC.
bool read_normalizer(const JsonObject& root);

/// "pre_tokenizer": ByteLevel, or a Sequence of Split and ByteLevel in which ByteLevel comes last.
PreTokenizer read_pretokenizer(const JsonObject& root);

/// What "post_processor" puts around a text.
struct Template {
  std::vector<std::int32_t> prefix_ids;
  std::vector<std::int32_t> suffix_ids;
};
/// "post_processor": null, ByteLevel, TemplateProcessing, or a Sequence of them.
Template read_post_processor(const JsonObject& root);

/// "decoder": ByteLevel or a Sequence of it alone.
void check_decoder(const JsonObject& root);

}  // namespace quern
