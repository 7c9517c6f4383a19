#include "quern/safetensors.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cmath>

#include "tests/support/expect_error.h"
#include "tests/support/test_files.h"

namespace quern {
namespace {

using testing::bytes_of;
using testing::make_safetensors;
using testing::raw_safetensors;
using testing::read_file;
using testing::TempFolder;
using testing::write_file;

constexpr const char* kLfsPointer =
    "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 548105171\n";

class Safetensors : public ::testing::Test {
 protected:
  SafetensorsFile open(std::string_view content) {
    return SafetensorsFile::open(write_file(path_, content));
  }

  /// Checks that opening `content` fails with an error that names these facts and the file.
  void expect_refused(std::string_view content, std::string_view fact,
                      ErrorCode code = ErrorCode::bad_file) {
    write_file(path_, content);
    EXPECT_QUERN_ERROR(code, ({path_.string(), fact}), SafetensorsFile::open(path_));
  }

  /// The same for one tensor 'x' with this description and four bytes of data.
  void expect_refused_tensor(const std::string& description, std::string_view fact,
                             ErrorCode code = ErrorCode::bad_file) {
    SCOPED_TRACE(description);
    expect_refused(raw_safetensors(R"({"x":)" + description + "}", "data"), fact, code);
  }

  const TempFolder folder_;
  const std::filesystem::path path_ = folder_ / "model.safetensors";
};

TEST_F(Safetensors, ReadsTensors) {
  const std::vector<float> a = {1, 2, 3, 4, 5, 6};
  const auto file = open(make_safetensors({{"a", "F32", {2, 3}, bytes_of(a)},
                                           {"none", "F16", {0, 7}, ""},
                                           {"scalar", "I64", {}, std::string(8, '\1')}}));
  ASSERT_EQ(file.entries().size(), 3u);
  const SafetensorsEntry& entry = file.entries()[0];
  EXPECT_EQ(entry.name, "a");
  EXPECT_EQ(entry.stored_type, "F32");
  EXPECT_EQ(entry.shape, (std::vector<std::int64_t>{2, 3}));
  EXPECT_EQ(std::memcmp(file.read(entry).data(), a.data(), entry.size_bytes), 0);
  EXPECT_EQ(file.entries()[1].shape, (std::vector<std::int64_t>{0, 7}));
  EXPECT_TRUE(file.read(file.entries()[1]).empty());
  EXPECT_TRUE(file.entries()[2].shape.empty());
  EXPECT_EQ(file.entries()[2].size_bytes, 8u);
}

TEST_F(Safetensors, TakesWhatTheFormatAllows) {
  EXPECT_TRUE(open(raw_safetensors("{}", "")).entries().empty());
  EXPECT_TRUE(open(raw_safetensors("{}      ", "")).entries().empty()) << "padding";
  EXPECT_TRUE(open(raw_safetensors(R"({"__metadata__":{"format":"pt"}})", "")).entries().empty());
  const auto unordered = open(raw_safetensors(
      R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[2,3]},
          "b":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}})",
      "xyz"));
  EXPECT_EQ(unordered.entries()[0].name, "b") << "entries come in the order of their data";
}

TEST_F(Safetensors, KnowsTypes) {
  EXPECT_EQ(parse_safetensors_dtype("F32"), DType::float32);
  EXPECT_EQ(parse_safetensors_dtype("F16"), DType::float16);
  EXPECT_EQ(parse_safetensors_dtype("BF16"), DType::bfloat16);
  EXPECT_EQ(parse_safetensors_dtype("I32"), DType::int32);
  EXPECT_EQ(parse_safetensors_dtype("I64"), DType::int64);
  EXPECT_EQ(parse_safetensors_dtype("U8"), DType::uint8);
  EXPECT_EQ(parse_safetensors_dtype("F64"), std::nullopt);
  EXPECT_EQ(parse_safetensors_dtype("f32"), std::nullopt);
}

TEST_F(Safetensors, RefusesLengthsThatCannotBe) {
  expect_refused("", "at least 8 bytes of a safetensors file, got 0");
  expect_refused("1234567", "at least 8 bytes of a safetensors file, got 7");
  expect_refused(raw_safetensors("{}", "", 3),
                 "the header of 3 bytes is longer than the file of 10");
  expect_refused(raw_safetensors("{}", "", 100'000'001), "at most 100000000 bytes, got 100000001");
  expect_refused(raw_safetensors("{}", "", UINT64_MAX), "got 18446744073709551615");
  expect_refused(raw_safetensors("{}", "", UINT64_MAX - 7), "at most 100000000 bytes");
  expect_refused(raw_safetensors("", "", 0), "not valid JSON");
}

TEST_F(Safetensors, RefusesLfsPointers) { expect_refused(kLfsPointer, "git-LFS pointer"); }

TEST_F(Safetensors, RefusesHeadersThatAreNoObject) {
  expect_refused(raw_safetensors("[]", ""), "expected an object, got []");
  expect_refused(raw_safetensors("{\"a\"", ""), "not valid JSON");
  expect_refused(raw_safetensors(std::string_view("{}\0", 3), ""), "not valid JSON");
  expect_refused(raw_safetensors("{\"\xff\":1}", ""), "not valid JSON");
  expect_refused(raw_safetensors("{} {}", ""), "not valid JSON");
  expect_refused(raw_safetensors(std::string(200'000, '['), ""), "deeper than");
  expect_refused(raw_safetensors(R"({"__metadata__":{"a":1}})", ""), "key '__metadata__.a'");
  expect_refused(raw_safetensors(R"({"__metadata__":"pt"})", ""), "key '__metadata__'");
}

TEST_F(Safetensors, OfDuplicateNamesTheLastCounts) {
  const auto tensor = [](const char* offsets) {
    return std::string(R"("a":{"dtype":"U8","shape":[1],"data_offsets":)") + offsets + '}';
  };
  const auto file = open(raw_safetensors('{' + tensor("[0,1]") + ',' + tensor("[0,1]") + '}', "x"));
  EXPECT_EQ(file.entries().size(), 1u);
  expect_refused(raw_safetensors('{' + tensor("[0,1]") + ',' + tensor("[1,2]") + '}', "xy"),
                 "a hole before it");
}

TEST_F(Safetensors, RefusesBrokenDescriptions) {
  expect_refused_tensor("1", "key 'x': expected an object, got 1");
  expect_refused_tensor("{}", "key 'x.dtype': expected a string, got nothing");
  expect_refused_tensor(R"({"dtype":"F32","data_offsets":[0,4]})", "key 'x.shape'");
  expect_refused_tensor(R"({"dtype":"F32","shape":[1]})", "key 'x.data_offsets'");
  expect_refused_tensor(R"({"dtype":1,"shape":[1],"data_offsets":[0,4]})", "got 1");
  expect_refused_tensor(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4],"scale":2})",
                        "key 'x.scale': expected only dtype, shape and data_offsets, got 2");
  expect_refused_tensor(R"({"dtype":"F99","shape":[1],"data_offsets":[0,4]})",
                        "tensor 'x': unknown dtype 'F99'", ErrorCode::unsupported);
}

TEST_F(Safetensors, RefusesBrokenShapes) {
  expect_refused_tensor(R"({"dtype":"F32","shape":[-1],"data_offsets":[0,4]})", "got [-1]");
  expect_refused_tensor(R"({"dtype":"F32","shape":[1.0],"data_offsets":[0,4]})", "got [1.0]");
  expect_refused_tensor(R"({"dtype":"F32","shape":1,"data_offsets":[0,4]})", "got 1");
  expect_refused_tensor(R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]})",
                        "tensor 'x': the size of shape [4294967296, 4294967296] overflows");
  expect_refused_tensor(R"({"dtype":"F32","shape":[4611686018427387905],"data_offsets":[0,4]})",
                        "overflows");
  expect_refused_tensor(R"({"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,4]})",
                        "18446744073709551615");
  std::string ranks = "[1";
  for (int i = 0; i < 64; ++i) ranks += ",1";
  expect_refused_tensor(R"({"dtype":"F32","shape":)" + ranks + R"(],"data_offsets":[0,4]})",
                        "at most 64 sizes");
}

TEST_F(Safetensors, RefusesBrokenOffsets) {
  for (const char* offsets : {"[0]", "[0,4,4]", "[]", "[4,0]"}) {
    expect_refused_tensor(
        std::string(R"({"dtype":"F32","shape":[1],"data_offsets":)") + offsets + '}',
        "key 'x.data_offsets'");
  }
  expect_refused_tensor(R"({"dtype":"F32","shape":[1],"data_offsets":[-4,0]})", "[-4,0]");
  expect_refused_tensor(R"({"dtype":"F32","shape":[1],"data_offsets":[0,3]})",
                        "tensor 'x': expected 4 bytes for F32 [1], got data_offsets [0, 3]");
  expect_refused_tensor(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})", "expected 8 bytes");
  expect_refused_tensor(R"({"dtype":"U8","shape":[9223372036854775807],
                            "data_offsets":[0,9223372036854775807]})",
                        "the file is truncated");
}

TEST_F(Safetensors, RefusesHolesAndOverlaps) {
  const auto two = [](const char* a, const char* b) {
    return raw_safetensors(std::string(R"({"a":{"dtype":"U8","shape":[2],"data_offsets":)") + a +
                               R"(},"b":{"dtype":"U8","shape":[2],"data_offsets":)" + b + "}}",
                           "data");
  };
  EXPECT_EQ(open(two("[0,2]", "[2,4]")).entries().size(), 2u);
  expect_refused(two("[0,2]", "[1,3]"),
                 "tensor 'b': expected its data at offset 2, got "
                 "data_offsets [1, 3]: tensors overlap");
  expect_refused(two("[0,2]", "[0,2]"), "tensors overlap");
  expect_refused(two("[1,3]", "[3,5]"), "tensor 'a': expected its data at offset 0");
  expect_refused(two("[0,2]", "[3,5]"), "a hole before it");
}

TEST_F(Safetensors, RefusesFilesThatAreCutOffOrTooLong) {
  const std::string whole = make_safetensors({{"a", "F32", {2}, "12345678"}});
  expect_refused(whole.substr(0, whole.size() - 1),
                 "expected 8 bytes of tensor data, got 7: the file is truncated");
  expect_refused(whole + 'x', "expected 8 bytes of tensor data, got 9");
}

TEST_F(Safetensors, OddNamesStayOnOneShortLine) {
  const std::string name = R"(a\nb)" + std::string(100'000, 'x');
  expect_refused(raw_safetensors("{\"" + name + "\":1}", ""), R"(a\nb)");
}

TEST_F(Safetensors, RefusesFoldersAndMissingFiles) {
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"a folder"}), SafetensorsFile::open(folder_.path()));
  EXPECT_QUERN_ERROR(ErrorCode::not_found, ({path_.string()}), SafetensorsFile::open(path_));
}

TEST_F(Safetensors, WrittenFilesAreReadBack) {
  const std::vector<float> a = {1, -2, 0.5f, 1e30f, -0.0f, INFINITY};
  const std::vector<float> b = {7};
  const SafetensorsTensor tensors[] = {
      {"logits", {2, 3}, a}, {"odd \"name\"\n", {}, b}, {"none", {0, 3}, {}}};
  write_safetensors(path_, tensors);
  const auto file = SafetensorsFile::open(path_);
  ASSERT_EQ(file.entries().size(), 3u);
  for (const SafetensorsTensor& tensor : tensors) {
    const auto& entries = file.entries();
    const auto entry = std::find_if(entries.begin(), entries.end(),
                                    [&](const auto& each) { return each.name == tensor.name; });
    ASSERT_NE(entry, entries.end());
    EXPECT_EQ(entry->stored_type, "F32");
    EXPECT_EQ(entry->shape, tensor.shape);
    const auto data = file.read(*entry);
    EXPECT_EQ(std::string(reinterpret_cast<const char*>(data.data()), data.size()),
              bytes_of(std::vector<float>(tensor.values.begin(), tensor.values.end())));
  }
}

TEST_F(Safetensors, WrittenDataIsAligned) {
  const std::vector<float> values = {1};
  for (std::size_t length = 1; length < 20; ++length) {
    const SafetensorsTensor tensor{std::string(length, 'n'), {1}, values};
    write_safetensors(path_, {&tensor, 1});
    EXPECT_EQ((read_file(path_).size() - sizeof(float)) % 8, 0u);
  }
}

TEST_F(Safetensors, WritingReplacesAndLeavesNothingElse) {
  write_file(path_, "old");
  write_safetensors(path_, {});
  EXPECT_TRUE(SafetensorsFile::open(path_).entries().empty());
  const auto files = std::filesystem::directory_iterator(folder_.path());
  EXPECT_EQ(std::distance(begin(files), end(files)), 1);
}

TEST_F(Safetensors, WritingWhereItCannotIsNamed) {
  EXPECT_QUERN_ERROR(ErrorCode::bad_file,
                     ({"none/model.safetensors", "cannot write", "No such file"}),
                     write_safetensors(folder_ / "none/model.safetensors", {}));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({folder_.path().string(), "cannot write"}),
                     write_safetensors(folder_.path(), {}));
  const auto pipe = folder_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({pipe.string(), "cannot write", "nobody reads"}),
                     write_safetensors(pipe, {}));
}

TEST_F(Safetensors, WritingAContradictionIsABug) {
  const std::vector<float> values = {1, 2, 3};
  const SafetensorsTensor tensors[] = {{"a", {3}, values}, {"a", {3}, values}};
  EXPECT_QUERN_ERROR(ErrorCode::internal, ({"'a' given twice"}), write_safetensors(path_, tensors));
  const SafetensorsTensor wrong{"a", {2}, values};
  EXPECT_QUERN_ERROR(ErrorCode::internal, ({"3 of [2]"}), write_safetensors(path_, {&wrong, 1}));
  EXPECT_FALSE(std::filesystem::exists(path_));
}

}  // namespace
}  // namespace quern
