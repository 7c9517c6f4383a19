#include "tokenizer/sentencepiece/sentencepiece_file.h"

#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>

#include "base/error.h"

namespace quern {
namespace {

constexpr std::uint64_t kPieces = 1;
constexpr std::uint64_t kTrainerSpec = 2;
constexpr std::uint64_t kNormalizerSpec = 3;
constexpr std::uint64_t kModelType = 3;  // in TrainerSpec
// In NormalizerSpec:
constexpr std::uint64_t kPrecompiledCharsmap = 2;
constexpr std::uint64_t kAddDummyPrefix = 3;
constexpr std::uint64_t kRemoveExtraWhitespaces = 4;
constexpr std::uint64_t kUnigram = 1;
constexpr std::uint64_t kBpe = 2;

/// Reads a message's fields from front to back; nothing is returned once the bytes make no sense.
class FieldReader {
 public:
  explicit FieldReader(std::string_view bytes) : rest_(bytes) {}

  struct Field {
    std::uint64_t number = 0;
    std::uint64_t value = 0;  ///< of a varint field
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
      case 5:
        return take(4) ? std::optional(field) : std::nullopt;
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

void read_normalizer_spec(std::string_view bytes, const std::string& file,
                          SentencePieceFile& result) {
  bool has_charsmap = false;
  bool removes_whitespaces = true;
  for_each_field(bytes, file + ": normalizer_spec", [&](const FieldReader::Field& setting) {
    if (setting.number == kPrecompiledCharsmap) has_charsmap = !setting.bytes.empty();
    if (setting.number == kAddDummyPrefix) result.add_dummy_prefix = setting.value != 0;
    if (setting.number == kRemoveExtraWhitespaces) removes_whitespaces = setting.value != 0;
  });
  result.changes_text = has_charsmap || removes_whitespaces;
}

/// Llama 3's original tokenizer.model: a token in base64 and its rank on each line.
bool looks_like_tiktoken(std::string_view bytes) {
  const std::string_view line = bytes.substr(0, bytes.find('\n'));
  const std::size_t space = line.find(' ');
  return space != line.npos && space > 0 && space + 1 < line.size() &&
         std::all_of(line.begin() + static_cast<std::ptrdiff_t>(space) + 1, line.end(),
                     [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

SentencePieceFile check_sentencepiece_file(std::string_view bytes, const std::string& file) {
  if (looks_like_tiktoken(bytes)) {
    fail(ErrorCode::unsupported,
         "{}: expected a SentencePiece model, got a tiktoken file; its tokenizer.json is needed",
         file);
  }
  SentencePieceFile result;
  bool has_pieces = false;
  bool has_normalizer = false;
  std::optional<std::uint64_t> model_type;
  for_each_field(bytes, file, [&](const FieldReader::Field& field) {
    if (field.number == kPieces) has_pieces = true;
    if (field.number == kTrainerSpec) {
      model_type = kUnigram;
      for_each_field(field.bytes, file + ": trainer_spec", [&](const FieldReader::Field& setting) {
        if (setting.number == kModelType) model_type = setting.value;
      });
    }
    if (field.number == kNormalizerSpec) {
      has_normalizer = true;
      read_normalizer_spec(field.bytes, file, result);
    }
  });
  if (!has_pieces || !model_type || !has_normalizer) {
    fail(ErrorCode::bad_file, "{}: not a whole SentencePiece model: it has no {}", file,
         !has_pieces   ? "pieces"
         : !model_type ? "trainer_spec"
                       : "normalizer_spec");
  }
  if (*model_type != kBpe && *model_type != kUnigram) {
    fail(ErrorCode::unsupported, "{}: trainer_spec.model_type {}: expected unigram (1) or BPE (2)",
         file, *model_type);
  }
  return result;
}

}  // namespace quern
