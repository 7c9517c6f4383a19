#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/open_file.h"
#include "quern/files.h"
#include "tests/support/expect_error.h"
#include "tests/support/test_files.h"

namespace quern {
namespace {

using testing::TempFolder;
using testing::write_file;

TEST(TextFile, GivesTheBytesAsTheyAre) {
  const TempFolder folder;
  const std::string content("a\r\n\0\xff\xf0", 6);
  EXPECT_EQ(read_text_file(write_file(folder / "bytes", content), 6), content);
  EXPECT_EQ(read_text_file(write_file(folder / "empty", ""), 0), "");
}

TEST(TextFile, RefusesMoreThanTheLimit) {
  const TempFolder folder;
  const auto path = write_file(folder / "vocab.json", "1234567");
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({path.string(), "7 bytes", "at most 6"}),
                     read_text_file(path, 6));
}

TEST(TextFile, NamesMissingFiles) {
  const TempFolder folder;
  const auto path = write_file(folder / "file", "x");
  EXPECT_QUERN_ERROR(ErrorCode::not_found, ({(folder / "none").string(), "no such file"}),
                     read_text_file(folder / "none", 10));
  EXPECT_QUERN_ERROR(ErrorCode::not_found, ({(path / "below").string()}),
                     read_text_file(path / "below", 10));
}

TEST(TextFile, IsListedOrNotOrUnknown) {
  const TempFolder folder;
  EXPECT_TRUE(is_listed(write_file(folder / "file", "x")));
  EXPECT_FALSE(is_listed(folder / "none"));
  EXPECT_FALSE(is_listed(folder / "file" / "below"));
  std::filesystem::create_symlink("nowhere", folder / "link");
  EXPECT_TRUE(is_listed(folder / "link"));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"cannot tell whether it is there"}),
                     is_listed(folder / std::string(300, 'x')));
}

TEST(TextFile, NamesFoldersAndPipes) {
  const TempFolder folder;
  EXPECT_QUERN_ERROR(ErrorCode::bad_file,
                     ({folder.path().string(), "expected a file, got a folder"}),
                     read_text_file(folder.path(), 10));
  const auto pipe = folder / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({pipe.string(), "got a pipe or device"}),
                     read_text_file(pipe, 10));
}

TEST(TextFile, NamesUnreadableFiles) {
  if (::geteuid() == 0) GTEST_SKIP() << "root may read every file";
  const TempFolder folder;
  const auto path = write_file(folder / "secret", "x");
  std::filesystem::permissions(path, std::filesystem::perms::none);
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({path.string(), "cannot open", "denied"}),
                     read_text_file(path, 10));
}

}  // namespace
}  // namespace quern
