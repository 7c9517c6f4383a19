#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/text/utf8.h"
#include "quern/error.h"
#include "tokenizer/detokenizer.h"
#include "tokenizer/folder/folder_tokenizer.h"

namespace quern::fuzz {

/// Text of every kind that a tokenizer treats in its own way.
inline constexpr std::string_view kAnyText =
    "  Hello, world's end! 12345 \t\r\n\u00a0e\u0301\u00e9\u0130\ufb01 \u4e2d\u6587 \u2581x "
    "\U0001F468\u200d\U0001F469 <s>abc</s> <unk><0x41> aaaaaaaaaaaaaaaa\u0000\ufffd ";

/// Encodes and decodes with a tokenizer that was accepted; what it gives must be ids that it has
/// and UTF-8. Errors: as Tokenizer.
inline void use_tokenizer(const Tokenizer& tokenizer, std::string_view text) {
  constexpr std::int64_t kMaxTokens = 1 << 16;
  for (const bool parse_special : {true, false}) {
    std::vector<std::int32_t> ids;
    try {
      ids = tokenizer.encode(text, {.parse_special = parse_special, .max_tokens = kMaxTokens});
    } catch (const Error& error) {
      if (error.code() == ErrorCode::internal) __builtin_trap();
    }
    Detokenizer detokenizer(tokenizer, parse_special);
    for (const std::int32_t id : ids) {
      if (id < 0 || id >= tokenizer.vocab_size()) __builtin_trap();
      if (invalid_utf8_at(detokenizer.add(id))) __builtin_trap();
    }
    if (invalid_utf8_at(detokenizer.finish())) __builtin_trap();
    if (invalid_utf8_at(tokenizer.decode(ids, parse_special))) __builtin_trap();
  }
}

/// The input's own first bytes, in which its tokens stand, where they are UTF-8.
inline std::string_view text_of(std::string_view input) {
  constexpr std::size_t kMaxBytes = 2048;
  const std::string_view text = input.substr(0, kMaxBytes);
  const auto broken = invalid_utf8_at(text);
  return broken ? text.substr(0, *broken) : text;
}

/// Runs what reads an input and its text; any error but an internal one is fine.
template <typename Load>
void load_and_use(std::string_view input, const Load& load) {
  try {
    const FolderTokenizer tokenizer(load());
    use_tokenizer(tokenizer, kAnyText);
    use_tokenizer(tokenizer, text_of(input));
  } catch (const Error& error) {
    if (error.code() == ErrorCode::internal) __builtin_trap();
  }
}

}  // namespace quern::fuzz
