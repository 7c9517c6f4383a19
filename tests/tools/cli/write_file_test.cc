#include "tools/output/write_file.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "tests/support/expect_error.h"
#include "tests/support/test_files.h"

namespace quern::tools {
namespace {

TEST(WriteFile, IsCheckedBeforeTheWorkWithoutATrace) {
  const testing::TempFolder folder;
  const std::string path = (folder.path() / "page.md").string();
  check_writable(path);
  EXPECT_FALSE(std::filesystem::exists(path));
  write_file(path, "a page");
  check_writable(path);
  EXPECT_EQ(std::filesystem::file_size(path), 6U);
  for (const auto& bad : {folder.path(), folder.path() / "nowhere" / "page.md"}) {
    EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({bad.string(), "cannot write"}),
                       check_writable(bad.string()));
    EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({bad.string(), "cannot write"}),
                       write_file(bad.string(), "a page"));
  }
}

}  // namespace
}  // namespace quern::tools
