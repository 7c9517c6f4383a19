#include "quern/output_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <thread>

#include "tests/support/expect_error.h"
#include "tests/support/test_files.h"

namespace quern {
namespace {

namespace fs = std::filesystem;
using testing::read_file;
using testing::TempFolder;
using testing::write_file;

class OutputFileTest : public ::testing::Test {
 protected:
  std::size_t num_files() const {
    const auto files = fs::directory_iterator(folder_.path());
    return static_cast<std::size_t>(std::distance(begin(files), end(files)));
  }
  static void write(const fs::path& path, std::string_view text) {
    OutputFile file(path);
    file.write(text);
    file.finish();
  }

  const TempFolder folder_;
  const fs::path path_ = folder_ / "out.jsonl";
};

TEST_F(OutputFileTest, AppearsWhole) {
  OutputFile file(path_);
  file.write("new");
  EXPECT_FALSE(fs::exists(path_));
  file.finish();
  EXPECT_EQ(read_file(path_), "new");
  EXPECT_EQ(num_files(), 1u);
}

TEST_F(OutputFileTest, WhatIsThereStaysUntilTheEnd) {
  write_file(path_, "old");
  fs::permissions(path_, fs::perms::owner_read | fs::perms::owner_write);
  {
    OutputFile file(path_);
    file.write("new");
    EXPECT_EQ(read_file(path_), "old");
  }
  EXPECT_EQ(read_file(path_), "old");
  EXPECT_EQ(num_files(), 1u) << "what was not finished is removed";
  write(path_, "new");
  EXPECT_EQ(read_file(path_), "new");
  EXPECT_EQ(fs::status(path_).permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(OutputFileTest, AFullDiskIsAnErrorThatChangesNothing) {
  write_file(path_, "old");
  // A limit on the size of files stands for the full disk.
  ::rlimit before = {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const ::rlimit limit = {4096, before.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({path_.string(), "cannot write", "too large"}),
                     write(path_, std::string(1 << 20, 'x')));
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(read_file(path_), "old");
  EXPECT_EQ(num_files(), 1u);
}

TEST_F(OutputFileTest, LinksAreFollowed) {
  write_file(folder_ / "deep/target", "old");
  fs::create_symlink("deep/target", path_);
  write(path_, "new");
  EXPECT_TRUE(fs::is_symlink(path_));
  EXPECT_EQ(read_file(folder_ / "deep/target"), "new");
  fs::create_symlink("deep/none", folder_ / "dangling");
  write(folder_ / "dangling", "made");
  EXPECT_EQ(read_file(folder_ / "deep/none"), "made");
  fs::create_symlink("loop", folder_ / "loop");
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"loop", "leads back"}), write(folder_ / "loop", "x"));
}

TEST_F(OutputFileTest, DevicesAndPipesAreWrittenAndStay) {
  write("/dev/null", "x");
  EXPECT_TRUE(fs::is_character_file("/dev/null"));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"/dev/full", "No space left"}),
                     write("/dev/full", "x"));
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({path_.string(), "nobody reads"}), write(path_, "x"));
  std::string seen;
  {
    std::jthread reader([&] { seen = read_file(path_); });
    write(path_, "through the pipe");
  }
  EXPECT_EQ(seen, "through the pipe");
  EXPECT_TRUE(fs::is_fifo(path_));
}

TEST_F(OutputFileTest, OpenDescriptorsAreWrittenWhereTheyStand) {
  const int descriptor = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  ASSERT_EQ(::write(descriptor, "first ", 6), 6);
  write("/proc/self/fd/" + std::to_string(descriptor), "second");
  ASSERT_EQ(::write(descriptor, " third", 6), 6);
  ::close(descriptor);
  EXPECT_EQ(read_file(path_), "first second third");
}

TEST_F(OutputFileTest, TemporaryNamesCannotBeGuessed) {
  OutputFile first(path_);
  OutputFile second(path_);
  EXPECT_EQ(num_files(), 2u);
  for (const auto& entry : fs::directory_iterator(folder_.path())) {
    const std::string name = entry.path().filename().string();
    EXPECT_TRUE(name.starts_with(".out.jsonl.") && name.ends_with(".partial")) << name;
    EXPECT_EQ(name.size(), std::string(".out.jsonl.0123456789abcdef.partial").size());
  }
}

TEST_F(OutputFileTest, UnfinishedFilesCanBeRemovedFromASignalHandler) {
  OutputFile first(path_);
  OutputFile second(folder_ / std::string(250, 'n'));
  EXPECT_EQ(num_files(), 2u);
  remove_unfinished_files();
  EXPECT_EQ(num_files(), 0u);
}

TEST_F(OutputFileTest, CheckLeavesNoTrace) {
  OutputFile::check(path_);
  EXPECT_EQ(num_files(), 0u);
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"it is a folder"}), OutputFile::check(folder_.path()));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"none/x", "No such file"}),
                     OutputFile::check(folder_ / "none/x"));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"cannot write"}), OutputFile::check(""));
}

}  // namespace
}  // namespace quern
