#include <gtest/gtest.h>

#include <string_view>
#include <utility>

#include "quern/files.h"
#include "tests/support/expect_error.h"
#include "tests/support/test_files.h"

namespace quern {
namespace {

using testing::TempFolder;
using testing::write_file;

std::string_view text(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

TEST(MappedFile, ShowsTheFile) {
  const TempFolder folder;
  const auto path = write_file(folder / "file", "hello");
  const MappedFile file = MappedFile::open(path);
  EXPECT_EQ(text(file), "hello");
  EXPECT_EQ(file.path(), path);
}

TEST(MappedFile, MayBeEmpty) {
  const TempFolder folder;
  EXPECT_TRUE(MappedFile::open(write_file(folder / "empty", "")).bytes().empty());
  EXPECT_TRUE(MappedFile().bytes().empty());
}

TEST(MappedFile, Moves) {
  const TempFolder folder;
  MappedFile first = MappedFile::open(write_file(folder / "first", "first"));
  MappedFile second = MappedFile::open(write_file(folder / "second", "second"));
  second = std::move(first);
  EXPECT_EQ(text(second), "first");
  EXPECT_TRUE(first.bytes().empty());  // NOLINT(bugprone-use-after-move): what is left is defined
  const MappedFile third = std::move(second);
  EXPECT_EQ(text(third), "first");
}

TEST(MappedFile, OutlivesTheName) {
  const TempFolder folder;
  const MappedFile file = MappedFile::open(write_file(folder / "file", "hello"));
  std::filesystem::remove(folder / "file");
  EXPECT_EQ(text(file), "hello");
}

TEST(MappedFile, ReleasedPagesComeBack) {
  const TempFolder folder;
  const std::string content(100'000, 'x');
  const MappedFile file = MappedFile::open(write_file(folder / "file", content));
  file.release(file.bytes().subspan(5000, 90'000));
  file.release(file.bytes().subspan(99'999));
  file.release({});
  EXPECT_EQ(text(file), content);
}

TEST(MappedFile, RefusesWhatIsNoFile) {
  const TempFolder folder;
  EXPECT_QUERN_ERROR(ErrorCode::not_found, ({"none", "no such file"}),
                     MappedFile::open(folder / "none"));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({folder.path().string(), "a folder"}),
                     MappedFile::open(folder.path()));
}

}  // namespace
}  // namespace quern
