#include "tokenizer/models/byte_level.h"

#include <array>
#include <cstdint>

#include "base/text/utf8.h"

namespace quern {
namespace {

constexpr std::size_t kNumBytes = 256;
constexpr bool is_printable(std::size_t byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

/// Printable bytes map to themselves, the others to the code points from 256 on, in order.
constexpr auto kSymbolOf = [] {
  std::array<std::uint16_t, kNumBytes> symbols{};
  std::uint16_t next = kNumBytes;
  for (std::size_t byte = 0; byte < kNumBytes; ++byte) {
    symbols[byte] = is_printable(byte) ? static_cast<std::uint16_t>(byte) : next++;
  }
  return symbols;
}();

constexpr std::int16_t kNoByte = -1;
constexpr auto kByteOf = [] {
  std::array<std::int16_t, kSymbolOf[0xAD] + 1> bytes{};
  bytes.fill(kNoByte);
  for (std::size_t byte = 0; byte < kNumBytes; ++byte) {
    bytes[kSymbolOf[byte]] = static_cast<std::int16_t>(byte);
  }
  return bytes;
}();

}  // namespace

std::string symbols_from_bytes(std::string_view bytes) {
  std::string symbols;
  symbols.reserve(2 * bytes.size());
  for (const char byte : bytes) append_utf8(kSymbolOf[static_cast<unsigned char>(byte)], symbols);
  return symbols;
}

std::optional<std::string> bytes_from_symbols(std::string_view symbols) {
  std::string bytes;
  bytes.reserve(symbols.size());
  while (!symbols.empty()) {
    const Utf8Piece piece = first_utf8_piece(symbols);
    if (piece.status != Utf8Status::whole) return std::nullopt;
    const char32_t symbol = decode_utf8(symbols.substr(0, piece.length_bytes));
    if (symbol >= kByteOf.size() || kByteOf[symbol] == kNoByte) return std::nullopt;
    bytes += static_cast<char>(kByteOf[symbol]);
    symbols.remove_prefix(piece.length_bytes);
  }
  return bytes;
}

}  // namespace quern
