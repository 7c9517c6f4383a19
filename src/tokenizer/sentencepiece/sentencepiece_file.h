#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace quern {

/// A SentencePiece model file: a serialized ModelProto. Source: sentencepiece_model.proto.
struct SentencePieceFile {
  enum class Kind : std::uint8_t {
    normal = 1,
    unknown = 2,
    control = 3,
    user_defined = 4,
    unused = 5,
    byte = 6,
  };
  struct Piece {
    std::string text;
    float score = 0;
    Kind kind = Kind::normal;
  };
  enum class Model : std::uint8_t { unigram = 1, bpe = 2 };

  std::vector<Piece> pieces;
  Model model = Model::unigram;
  bool byte_fallback = false;
  bool whitespace_as_suffix = false;
  std::int32_t unk_id = 0;
  std::int32_t bos_id = 1;
  std::int32_t eos_id = 2;
  std::string charsmap;
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
};

/// Whether the file is Llama 3's: a token in base64 and its rank on each line.
bool is_tiktoken(std::string_view bytes);

/// Errors: bad_file naming file and place for one that is cut off or is no model, has no unknown
/// piece, has a piece that is empty, not UTF-8 or there twice, or lacks bytes that it falls back
/// to; unsupported for a model that is neither Unigram nor BPE.
SentencePieceFile parse_sentencepiece_file(std::string_view bytes, const std::string& file);

}  // namespace quern
