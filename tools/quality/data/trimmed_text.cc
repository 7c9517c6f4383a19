#include "tools/quality/data/trimmed_text.h"

#include <algorithm>

#include "base/utf8.h"

namespace quern::tools {
namespace {

bool is_blank(char32_t point) {
  return (point >= 0x09 && point <= 0x0D) || (point >= 0x1C && point <= 0x20) || point == 0x85 ||
         point == 0xA0 || point == 0x1680 || (point >= 0x2000 && point <= 0x200A) ||
         point == 0x2028 || point == 0x2029 || point == 0x202F || point == 0x205F ||
         point == 0x3000;
}

}  // namespace

std::string_view trimmed_text(std::string_view text) {
  std::size_t begin = text.size();
  std::size_t end = 0;
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = first_utf8_piece(text.substr(i)).length_bytes;
    if (!is_blank(decode_utf8(text.substr(i, length)))) {
      begin = std::min(begin, i);
      end = i + length;
    }
    i += length;
  }
  return end == 0 ? std::string_view() : text.substr(begin, end - begin);
}

}  // namespace quern::tools
