#pragma once

#include <array>
#include <string>
#include <string_view>
#include <utility>

namespace quern {

/// The first and last code points of Unicode's White_Space ranges.
inline constexpr std::array<std::pair<char32_t, char32_t>, 10> kWhiteSpace = {{{0x09, 0x0D},
                                                                               {0x20, 0x20},
                                                                               {0x85, 0x85},
                                                                               {0xA0, 0xA0},
                                                                               {0x1680, 0x1680},
                                                                               {0x2000, 0x200A},
                                                                               {0x2028, 0x2029},
                                                                               {0x202F, 0x202F},
                                                                               {0x205F, 0x205F},
                                                                               {0x3000, 0x3000}}};

bool is_white_space(char32_t code_point);

/// What `\w` means to Unicode (UTS #18): letters, marks, decimal and letter numbers, connectors and
/// joiners.
bool is_word_character(char32_t code_point);

/// The text in Unicode's normalization form C. `text` must be well-formed UTF-8.
std::string normalize_nfc(std::string_view text);

}  // namespace quern
