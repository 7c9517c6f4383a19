#include "tokenizer/bpe/byte_level_bpe.h"

#include <utility>

#include "base/error.h"
#include "tokenizer/bpe/byte_level.h"
#include "tokenizer/pretokenize/unicode.h"

namespace quern {
namespace {

constexpr bool occurs_in_utf8(int byte) { return byte != 0xC0 && byte != 0xC1 && byte < 0xF5; }

}  // namespace

Bpe::ByteIds byte_ids(const Vocabulary& vocabulary, const std::string& where) {
  Bpe::ByteIds ids{};
  for (int byte = 0; byte < 256; ++byte) {
    const std::string symbol = symbols_from_bytes(std::string(1, static_cast<char>(byte)));
    const auto id = vocabulary.find(symbol);
    if (!id && occurs_in_utf8(byte)) {
      fail(ErrorCode::bad_file, "{}: byte {:#04x} has no token, expected '{}'", where, byte,
           symbol);
    }
    ids[static_cast<std::size_t>(byte)] = id.value_or(-1);
  }
  return ids;
}

ByteLevelBpe::ByteLevelBpe(Vocabulary vocabulary, Bpe bpe, PreTokenizer pretokenizer,
                           Options options)
    : vocabulary_(std::move(vocabulary)),
      bpe_(std::move(bpe)),
      pretokenizer_(std::move(pretokenizer)),
      options_(options) {}

std::string ByteLevelBpe::normalize(std::string_view text) const {
  return options_.nfc ? normalize_nfc(text) : TokenModel::normalize(text);
}

void ByteLevelBpe::encode(std::string_view text, bool /*at_start*/,
                          std::vector<std::int32_t>& ids) const {
  Bpe::Scratch scratch;
  pretokenizer_.split(text, [&](std::string_view piece) {
    if (options_.ignore_merges) {
      if (const auto id = vocabulary_.find(symbols_from_bytes(piece))) {
        ids.push_back(*id);
        return;
      }
    }
    bpe_.encode(piece, scratch, ids);
  });
}

std::string ByteLevelBpe::token_bytes(std::int32_t id) const {
  const std::string& token = vocabulary_.token(id);
  // A token outside the byte alphabet never comes from text; it decodes as written.
  return bytes_from_symbols(token).value_or(token);
}

std::optional<std::int32_t> ByteLevelBpe::find(std::string_view token) const {
  return vocabulary_.find(token);
}

}  // namespace quern
