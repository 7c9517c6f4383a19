#include "io/output/output_folder.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <array>
#include <csignal>

#include "io/output/tensor_writer.h"
#include "quern/output_file.h"
#include "quern/safetensors.h"
#include "tests/support/expect_error.h"
#include "tests/support/test_files.h"

namespace quern {
namespace {

namespace fs = std::filesystem;
using testing::read_file;
using testing::TempFolder;
using testing::write_file;

class OutputFolderTest : public ::testing::Test {
 protected:
  std::size_t num_entries() const {
    const auto entries = fs::directory_iterator(folder_.path());
    return static_cast<std::size_t>(std::distance(begin(entries), end(entries)));
  }

  const TempFolder folder_;
  const fs::path target_ = folder_ / "model";
};

TEST_F(OutputFolderTest, AppearsWhole) {
  OutputFolder output(target_);
  write_file(output.working() / "a.json", "{}");
  EXPECT_FALSE(fs::exists(target_));
  output.finish();
  EXPECT_EQ(read_file(target_ / "a.json"), "{}");
  EXPECT_EQ(num_entries(), 1u);
}

TEST_F(OutputFolderTest, WithoutFinishNothingIsLeft) {
  {
    const OutputFolder output(target_);
    write_file(output.working() / "inner/a.json", "{}");
  }
  EXPECT_EQ(num_entries(), 0u);
}

TEST_F(OutputFolderTest, AnEmptyFolderIsReplaced) {
  fs::create_directory(target_);
  fs::create_directory_symlink("model", folder_ / "link");
  OutputFolder output(folder_ / "link/");
  write_file(output.working() / "a", "x");
  output.finish();
  EXPECT_EQ(read_file(target_ / "a"), "x");
  EXPECT_TRUE(fs::is_symlink(folder_ / "link"));
}

TEST_F(OutputFolderTest, RefusesWhatItWouldDestroy) {
  write_file(target_ / "a", "x");
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"model", "new or empty"}),
                     OutputFolder::check(target_));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"model/a", "it is a file"}),
                     OutputFolder::check(target_ / "a"));
  EXPECT_QUERN_ERROR(ErrorCode::not_found, ({"none/x", "no such folder"}),
                     OutputFolder::check(folder_ / "none/x"));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"its name"}), OutputFolder::check(""));
  EXPECT_EQ(num_entries(), 1u);
}

TEST_F(OutputFolderTest, OneThatIsFilledMeanwhileStays) {
  OutputFolder output(target_);
  write_file(target_ / "theirs", "x");
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"model"}), output.finish());
  EXPECT_EQ(read_file(target_ / "theirs"), "x");
}

TEST_F(OutputFolderTest, ASignalHandlerRemovesIt) {
  OutputFolder output(target_);
  for (int i = 0; i < 300; ++i) {  // more than one listing
    write_file(output.working() / ("file" + std::to_string(i)), "x");
  }
  write_file(output.working() / "inner/a.json", "{}");
  remove_unfinished_files();
  EXPECT_EQ(num_entries(), 0u);
}

class TensorWriterTest : public OutputFolderTest {};

TEST_F(TensorWriterTest, TakesTensorsInAnyOrder) {
  const std::vector<StoredTensor> tensors = {
      {"bytes", "U8", {3}}, {"words", "I32", {2}}, {"halves", "F16", {1, 1}}, {"none", "F32", {0}}};
  TensorWriter writer(target_, tensors);
  const std::array<std::int32_t, 2> words = {7, -8};
  const std::array<std::uint8_t, 3> bytes = {1, 2, 3};
  const std::array<std::uint16_t, 1> halves = {0x3c00};
  writer.write("bytes", 0, std::as_bytes(std::span(bytes)));
  writer.write("halves", 0, std::as_bytes(std::span(halves)));
  writer.write("words", 4, std::as_bytes(std::span(words)).subspan(4));
  writer.write("words", 0, std::as_bytes(std::span(words)).first(4));
  writer.finish();
  EXPECT_EQ(writer.total_bytes(), 13u);

  fs::rename(target_, folder_ / "a.safetensors");
  const SafetensorsFile file = SafetensorsFile::open(folder_ / "a.safetensors");
  for (const SafetensorsEntry& entry : file.entries()) {
    const std::vector<std::byte> read = file.read(entry);
    if (entry.name == "words") {
      EXPECT_EQ(entry.offset % 4, 0u);
      EXPECT_TRUE(std::ranges::equal(read, std::as_bytes(std::span(words))));
    } else if (entry.name == "halves") {
      EXPECT_EQ(entry.offset % 2, 0u);
      EXPECT_TRUE(std::ranges::equal(read, std::as_bytes(std::span(halves))));
    } else if (entry.name == "bytes") {
      EXPECT_TRUE(std::ranges::equal(read, std::as_bytes(std::span(bytes))));
    }
  }
  EXPECT_EQ(file.entries().size(), 4u);
}

TEST_F(TensorWriterTest, RefusesBytesThatAreNotATensors) {
  TensorWriter writer(target_, {{"a", "U8", {2}}});
  const std::array<std::byte, 3> bytes{};
  EXPECT_QUERN_ERROR(ErrorCode::internal, ({"'a'"}), writer.write("a", 0, bytes));
  EXPECT_QUERN_ERROR(ErrorCode::internal, ({"'b'"}), writer.write("b", 0, {}));
  EXPECT_QUERN_ERROR(ErrorCode::internal, ({"2 bytes are missing"}), writer.finish());
}

TEST_F(TensorWriterTest, AFullDiskIsFoundOutAtOnce) {
  ::rlimit before = {};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const ::rlimit limit = {4096, before.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"model", "cannot write", "1000000 bytes"}),
                     TensorWriter(target_, {{"a", "U8", {1'000'000}}}));
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
}

}  // namespace
}  // namespace quern
