#pragma once

#include <string>
#include <string_view>

namespace quern {

/// What a SentencePiece model file says about itself, read before the library sees it: the library
/// would take a file that was cut off between two fields for another kind of model.
struct SentencePieceFile {
  bool add_dummy_prefix = true;
  bool changes_text = true;  ///< characters are replaced or white space is dropped before encoding
};

/// Walks the fields of the serialized ModelProto. Errors: bad_file for one that is cut off or is no
/// such file; unsupported for a model that is neither BPE nor unigram, and for the tiktoken file
/// that Llama 3 calls tokenizer.model. Source: sentencepiece_model.proto; the Protocol Buffers wire
/// format.
SentencePieceFile check_sentencepiece_file(std::string_view bytes, const std::string& file);

}  // namespace quern
