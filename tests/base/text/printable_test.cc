#include "base/text/printable.h"

#include <gtest/gtest.h>

#include "quern/error.h"

namespace quern {
namespace {

TEST(PrintableLine, KeepsText) {
  EXPECT_EQ(printable_line("näme 'x' 漢字 🙂 "), "näme 'x' 漢字 🙂 ");
}

TEST(PrintableLine, EscapesControlCharacters) {
  EXPECT_EQ(printable_line("a\x1b[2J\n\r\t\x7f"), "a\\u001b[2J\\u000a\\u000d\\u0009\\u007f");
  EXPECT_EQ(printable_line("\xc2\x9b"
                           "31m\xc2\xa0"),
            "\\u009b31m\xc2\xa0");
  EXPECT_EQ(printable_line(std::string_view("a\0b", 3)), "a\\u0000b");
}

TEST(PrintableLine, ReplacesWhatIsNotUtf8) {
  EXPECT_EQ(printable_line("a\x9b"
                           "b\xc2"),
            "a\xEF\xBF\xBD"
            "b\xEF\xBF\xBD");
}

TEST(PrintableLine, IsBounded) {
  EXPECT_LT(printable_line(std::string(1 << 20, 'x')).size(), 5000u);
  EXPECT_LT(std::string(Error(ErrorCode::bad_file, std::string(1 << 20, '\n')).what()).size(),
            5000u);
}

}  // namespace
}  // namespace quern
