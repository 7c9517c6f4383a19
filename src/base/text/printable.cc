#include "base/text/printable.h"

#include <fmt/format.h>

#include "base/text/utf8.h"

namespace quern {

std::string printable_line(std::string_view text) {
  constexpr std::size_t kMaxBytes = 4000;
  std::string line;
  std::string_view rest = text;
  while (!rest.empty() && line.size() < kMaxBytes) {
    const Utf8Piece piece = first_utf8_piece(rest);
    const std::string_view sequence = rest.substr(0, piece.length_bytes);
    rest.remove_prefix(piece.length_bytes);
    if (piece.status != Utf8Status::whole) {
      line += "\xEF\xBF\xBD";
      continue;
    }
    const char32_t code_point = decode_utf8(sequence);
    const bool is_control = code_point < 0x20 || (code_point >= 0x7f && code_point < 0xa0);
    if (is_control) {
      line += fmt::format("\\u{:04x}", static_cast<std::uint32_t>(code_point));
    } else {
      line += sequence;
    }
  }
  if (!rest.empty()) line += "…";
  return line;
}

}  // namespace quern
