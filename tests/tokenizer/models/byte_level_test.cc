#include "tokenizer/models/byte_level.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace quern {
namespace {

TEST(ByteLevel, IsGpt2sAlphabet) {
  EXPECT_EQ(symbols_from_bytes("a b\n\t!~"), "a\u0120b\u010A\u0109!~");
  EXPECT_EQ(symbols_from_bytes(std::string("\0", 1)), "\u0100");
  EXPECT_EQ(symbols_from_bytes("\x7f\xa0\xad"), "\u0121\u0142\u0143");
  EXPECT_EQ(symbols_from_bytes("\u00e9"), "\u00c3\u00a9");
}

TEST(ByteLevel, ComesBackFromEveryByteAndFromNothingElse) {
  std::set<std::string> symbols;
  for (int byte = 0; byte < 256; ++byte) {
    const std::string bytes(1, static_cast<char>(byte));
    symbols.insert(symbols_from_bytes(bytes));
    EXPECT_EQ(bytes_from_symbols(symbols_from_bytes(bytes)), bytes);
  }
  EXPECT_EQ(symbols.size(), 256u);
  for (const char* text : {" ", "\n", "\u0144", "\u4e2d", "a\u2581", "\xff", "\xc3"}) {
    EXPECT_EQ(bytes_from_symbols(text), std::nullopt) << text;
  }
  EXPECT_EQ(bytes_from_symbols(""), "");
}

}  // namespace
}  // namespace quern
