#include "tokenizer/sentencepiece/sentencepiece_file.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>
#include <optional>

#include "base/error.h"
#include "base/text/utf8.h"
#include "io/json/json.h"
#include "tokenizer/base64.h"
#include "tokenizer/decode/decoder.h"

namespace quern {
namespace {

// Field numbers.
constexpr std::uint64_t kPieces = 1;
constexpr std::uint64_t kTrainerSpec = 2;
constexpr std::uint64_t kNormalizerSpec = 3;

/// Reads a message's fields from front to back; nothing is returned once the bytes make no sense.
class FieldReader {
 public:
  explicit FieldReader(std::string_view bytes) : rest_(bytes) {}

  struct Field {
    std::uint64_t number = 0;
    std::uint64_t value = 0;  ///< of a varint field, or the bits of a fixed one
    std::string_view bytes;   ///< of a length-delimited field
  };
  bool at_end() const { return rest_.empty(); }
  std::size_t bytes_left() const { return rest_.size(); }

  std::optional<Field> next() {
    const auto tag = varint();
    if (!tag || *tag >> 3 == 0) return std::nullopt;
    Field field;
    field.number = *tag >> 3;
    switch (*tag & 7u) {
      case 0: {
        const auto value = varint();
        if (!value) return std::nullopt;
        field.value = *value;
        return field;
      }
      case 1:
        return take(8) ? std::optional(field) : std::nullopt;
      case 2: {
        const auto size = varint();
        const auto bytes = size ? take(*size) : std::nullopt;
        if (!bytes) return std::nullopt;
        field.bytes = *bytes;
        return field;
      }
      case 5: {
        const auto bits = take(4);
        if (!bits) return std::nullopt;
        for (std::size_t i = 4; i-- > 0;) {
          field.value = field.value << 8 | static_cast<unsigned char>((*bits)[i]);
        }
        return field;
      }
      default:
        return std::nullopt;
    }
  }

 private:
  std::optional<std::uint64_t> varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64 && !rest_.empty(); shift += 7) {
      const auto byte = static_cast<unsigned char>(rest_.front());
      rest_.remove_prefix(1);
      value |= static_cast<std::uint64_t>(byte & 0x7Fu) << shift;
      if (byte < 0x80) return value;
    }
    return std::nullopt;
  }

  std::optional<std::string_view> take(std::uint64_t size) {
    if (size > rest_.size()) return std::nullopt;
    const std::string_view bytes = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return bytes;
  }

  std::string_view rest_;
};

void for_each_field(std::string_view bytes, const std::string& file,
                    const std::function<void(const FieldReader::Field&)>& take) {
  FieldReader reader(bytes);
  while (!reader.at_end()) {
    const std::size_t offset = bytes.size() - reader.bytes_left();
    const auto field = reader.next();
    if (!field) {
      fail(ErrorCode::bad_file,
           "{}: not a whole SentencePiece model: the field at byte {} of {} is broken or cut off",
           file, offset, bytes.size());
    }
    take(*field);
  }
}

SentencePieceFile::Piece read_piece(std::string_view bytes, const std::string& file) {
  SentencePieceFile::Piece piece;
  for_each_field(bytes, file, [&](const FieldReader::Field& field) {
    if (field.number == 1) piece.text = field.bytes;
    if (field.number == 2)
      piece.score = std::bit_cast<float>(static_cast<std::uint32_t>(field.value));
    if (field.number == 3) {
      if (field.value < 1 || field.value > 6) {
        fail(ErrorCode::bad_file, "{}: piece {}: type {}, expected 1 to 6", file,
             quoted_name(piece.text), field.value);
      }
      piece.kind = static_cast<SentencePieceFile::Kind>(field.value);
    }
  });
  return piece;
}

void read_trainer_spec(std::string_view bytes, const std::string& file, SentencePieceFile& result) {
  std::uint64_t model = 1;
  for_each_field(bytes, file + ": trainer_spec", [&](const FieldReader::Field& field) {
    const auto id = static_cast<std::int32_t>(field.value);
    switch (field.number) {
      case 3:
        model = field.value;
        break;
      case 24:
        result.whitespace_as_suffix = field.value != 0;
        break;
      case 35:
        result.byte_fallback = field.value != 0;
        break;
      case 40:
        result.unk_id = id;
        break;
      case 41:
        result.bos_id = id;
        break;
      case 42:
        result.eos_id = id;
        break;
      default:
        break;
    }
  });
  if (model != 1 && model != 2) {
    fail(ErrorCode::unsupported, "{}: trainer_spec.model_type {}: expected unigram (1) or BPE (2)",
         file, model);
  }
  result.model = static_cast<SentencePieceFile::Model>(model);
}

void read_normalizer_spec(std::string_view bytes, const std::string& file,
                          SentencePieceFile& result) {
  for_each_field(bytes, file + ": normalizer_spec", [&](const FieldReader::Field& field) {
    if (field.number == 2) result.charsmap = field.bytes;
    if (field.number == 3) result.add_dummy_prefix = field.value != 0;
    if (field.number == 4) result.remove_extra_whitespaces = field.value != 0;
    if (field.number == 5) result.escape_whitespaces = field.value != 0;
  });
}

/// Refuses what SentencePiece refuses, too, so that every piece means what it says.
void check_pieces(const SentencePieceFile& model, const std::string& file) {
  std::vector<std::string_view> texts;
  std::vector<bool> has_byte(256);
  std::size_t num_unknown = 0;
  for (std::size_t id = 0; id < model.pieces.size(); ++id) {
    const SentencePieceFile::Piece& piece = model.pieces[id];
    const auto refuse = [&](std::string_view reason) {
      fail(ErrorCode::bad_file, "{}: piece {} ({}): {}", file, id, quoted_name(piece.text), reason);
    };
    if (piece.text.empty()) refuse("it is empty");
    if (invalid_utf8_at(piece.text)) refuse("it is not UTF-8");
    if (!std::isfinite(piece.score)) refuse("its score is not finite");
    if (piece.kind == SentencePieceFile::Kind::unknown) ++num_unknown;
    if (piece.kind == SentencePieceFile::Kind::byte) {
      const int byte = ByteFallbackDecoder::byte_of(piece.text);
      if (byte < 0) refuse("a byte piece, expected <0x00> to <0xFF>");
      has_byte[static_cast<std::size_t>(byte)] = true;
    }
    texts.push_back(piece.text);
  }
  std::sort(texts.begin(), texts.end());
  const auto twice = std::adjacent_find(texts.begin(), texts.end());
  if (twice != texts.end()) {
    fail(ErrorCode::bad_file, "{}: piece {} is there twice", file, quoted_name(*twice));
  }
  if (num_unknown != 1) {
    fail(ErrorCode::bad_file, "{}: {} unknown pieces, expected 1", file, num_unknown);
  }
  const auto missing = std::find(has_byte.begin(), has_byte.end(), false);
  if (model.byte_fallback && missing != has_byte.end()) {
    fail(ErrorCode::bad_file, "{}: byte_fallback, but byte {:#04x} has no piece", file,
         missing - has_byte.begin());
  }
}

}  // namespace

bool is_tiktoken(std::string_view bytes) {
  const std::string_view line = bytes.substr(0, bytes.find('\n'));
  const std::size_t space = line.find(' ');
  return space != line.npos && space > 0 && space + 1 < line.size() &&
         decode_base64(line.substr(0, space)) &&
         std::all_of(line.begin() + static_cast<std::ptrdiff_t>(space) + 1, line.end(),
                     [](char c) { return c >= '0' && c <= '9'; });
}

SentencePieceFile parse_sentencepiece_file(std::string_view bytes, const std::string& file) {
  SentencePieceFile result;
  bool has_trainer = false;
  bool has_normalizer = false;
  for_each_field(bytes, file, [&](const FieldReader::Field& field) {
    if (field.number == kPieces) result.pieces.push_back(read_piece(field.bytes, file));
    if (field.number == kTrainerSpec) {
      has_trainer = true;
      read_trainer_spec(field.bytes, file, result);
    }
    if (field.number == kNormalizerSpec) {
      has_normalizer = true;
      read_normalizer_spec(field.bytes, file, result);
    }
  });
  if (result.pieces.empty() || !has_trainer || !has_normalizer) {
    fail(ErrorCode::bad_file, "{}: not a whole SentencePiece model: it has no {}", file,
         result.pieces.empty() ? "pieces"
         : !has_trainer        ? "trainer_spec"
                               : "normalizer_spec");
  }
  check_pieces(result, file);
  return result;
}

}  // namespace quern
