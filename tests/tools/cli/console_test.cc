// What the console finds out about a terminal, on a pseudo terminal.
#include "tools/output/console.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "tools/cli/help_formatter.h"

namespace quern::tools {
namespace {

class ConsoleTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ::unsetenv("COLUMNS");
    ::unsetenv("NO_COLOR");
    ::setenv("TERM", "xterm", 1);
    ours_ = ::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    ASSERT_TRUE(ours_ >= 0 && ::grantpt(ours_) == 0 && ::unlockpt(ours_) == 0);
    terminal_ = ::open(::ptsname(ours_), O_RDWR | O_NOCTTY | O_CLOEXEC);
    ASSERT_GE(terminal_, 0);
  }
  void TearDown() override {
    ::close(terminal_);
    ::close(ours_);
    ::unsetenv("COLUMNS");
  }
  void set_columns(unsigned short columns) const {
    winsize size = {};
    size.ws_row = 24;
    size.ws_col = columns;
    ASSERT_EQ(::ioctl(ours_, TIOCSWINSZ, &size), 0);
  }

  int ours_ = -1;
  int terminal_ = -1;
};

TEST_F(ConsoleTest, TheWidthIsTheTerminalsOrThatOfColumns) {
  set_columns(60);
  EXPECT_EQ(terminal_width(terminal_), 60U);
  set_columns(0);
  EXPECT_EQ(terminal_width(terminal_), std::nullopt) << "a terminal that does not know";
  EXPECT_EQ(terminal_width(::open("/dev/null", O_RDONLY | O_CLOEXEC)), std::nullopt);
  ::setenv("COLUMNS", "72", 1);
  EXPECT_EQ(terminal_width(terminal_), 72U);
  for (const char* bad : {"", "wide", "-5", "0"}) {
    ::setenv("COLUMNS", bad, 1);
    set_columns(90);
    EXPECT_EQ(terminal_width(terminal_), 90U) << bad;
  }
}

TEST_F(ConsoleTest, HelpStaysReadable) {
  ::setenv("COLUMNS", "10", 1);
  EXPECT_EQ(help_width(), 40U);
  ::setenv("COLUMNS", "300", 1);
  EXPECT_EQ(help_width(), 120U);
}

TEST_F(ConsoleTest, EscapesAreForTerminalsThatUnderstandThem) {
  EXPECT_TRUE(takes_escapes(terminal_));
  EXPECT_TRUE(wants_colour(terminal_));
  ::setenv("NO_COLOR", "1", 1);
  EXPECT_TRUE(takes_escapes(terminal_));
  EXPECT_FALSE(wants_colour(terminal_));
  ::unsetenv("NO_COLOR");
  for (const char* term : {"dumb", ""}) {
    ::setenv("TERM", term, 1);
    EXPECT_FALSE(takes_escapes(terminal_)) << term;
    EXPECT_FALSE(wants_colour(terminal_)) << term;
  }
}

}  // namespace
}  // namespace quern::tools
