#include "io/torch/torch_file.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstring>

#include "quern/safetensors.h"
#include "tests/support/expect_error.h"
#include "tests/support/test_files.h"
#include "tests/support/zip_archive.h"

namespace quern {
namespace {

using testing::make_zip;
using testing::pickled;
using testing::pickled_global;
using testing::pickled_state;
using testing::PickledTensor;
using testing::TempFolder;
using testing::write_file;
using testing::ZipEntry;

std::filesystem::path own_file(const std::string& name) {
  return std::filesystem::path(QUERN_SOURCE_DIR) / "tests/io/torch" / name;
}

/// Tensors that PyTorch wrote, as safetensors has them.
void expect_as_safetensors(const std::filesystem::path& path) {
  const SafetensorsFile expected = SafetensorsFile::open(own_file("expected.safetensors"));
  const auto tensors = read_torch_file(path);
  EXPECT_EQ(tensors.size(), expected.entries().size());
  for (const SafetensorsEntry& entry : expected.entries()) {
    SCOPED_TRACE(entry.name);
    ASSERT_TRUE(tensors.contains(entry.name));
    const CheckpointTensor& tensor = tensors.find(entry.name)->second;
    EXPECT_EQ(tensor.stored_type, entry.stored_type);
    EXPECT_EQ(tensor.shape, entry.shape);
    EXPECT_EQ(tensor.read_all(), expected.read(entry));
  }
  EXPECT_FALSE(tensors.find("transposed")->second.is_dense());
  EXPECT_TRUE(tensors.find("rows")->second.is_dense());
}

TEST(TorchFile, ZipArchives) { expect_as_safetensors(own_file("zip.bin")); }

TEST(TorchFile, TheFormatBeforeVersion16) { expect_as_safetensors(own_file("legacy.bin")); }

class HostileTorchFile : public ::testing::Test {
 protected:
  std::filesystem::path write(const std::string& content) const {
    return write_file(folder_ / "pytorch_model.bin", content);
  }
  std::filesystem::path write_zip(const std::string& pickle, std::size_t storage_bytes = 24) const {
    return write(make_zip({{"m/data.pkl", pickle}, {"m/data/0", std::string(storage_bytes, 'x')}}));
  }
  void expect_refused(const std::string& content, std::initializer_list<std::string_view> facts,
                      ErrorCode code = ErrorCode::bad_file) const {
    const auto path = write(content);
    testing::expect_error(code, facts, [&] { read_torch_file(path); });
    testing::expect_error(code, {path.string()}, [&] { read_torch_file(path); });
  }
  void expect_pickle_refused(const std::string& pickle,
                             std::initializer_list<std::string_view> facts,
                             ErrorCode code = ErrorCode::bad_file) const {
    const auto path = write_zip(pickle);
    testing::expect_error(code, facts, [&] { read_torch_file(path); });
  }

  const TempFolder folder_;
};

TEST_F(HostileTorchFile, TheBuilderOfTheseTestsMakesGoodFiles) {
  const auto tensors = read_torch_file(write_zip(pickled_state(pickled(PickledTensor{}))));
  ASSERT_EQ(tensors.size(), 1u);
  EXPECT_EQ(tensors.at("w").shape, (std::vector<std::int64_t>{2, 3}));
}

TEST_F(HostileTorchFile, OtherGlobalsAreRefusedByName) {
  for (const auto& [module, name] : {std::pair{"posix", "system"},
                                     {"builtins", "eval"},
                                     {"__builtin__", "exec"},
                                     {"torch._utils", "_import_dotted_name"},
                                     {"torch.serialization", "load"},
                                     {"numpy", "dtype"}}) {
    expect_pickle_refused(pickled_state(pickled_global(module, name) + "(X\1\0\0\0xtR"), {name},
                          ErrorCode::unsupported);
  }
  expect_pickle_refused(pickled_state(pickled_global("os\x1b[2J", "system")), {"\\u001b"},
                        ErrorCode::unsupported);
}

TEST_F(HostileTorchFile, OtherOpcodesAreRefusedByName) {
  for (const auto& [code, name] : {std::pair{"i", "INST (0x69)"},
                                   {"o", "OBJ"},
                                   {"P", "PERSID"},
                                   {"\x93", "STACK_GLOBAL"},
                                   {"\x82", "EXT1"},
                                   {"2", "DUP"},
                                   {"\xff", "unknown (0xff)"}}) {
    expect_pickle_refused(std::string("\x80\x02") + code, {"opcode", name}, ErrorCode::unsupported);
  }
}

TEST_F(HostileTorchFile, BrokenPickles) {
  const std::string good = pickled_state(pickled(PickledTensor{}));
  for (std::size_t size = 0; size < good.size(); ++size) {
    const auto path = write_zip(good.substr(0, size));
    EXPECT_THROW(read_torch_file(path), Error) << size;
  }
  for (const std::string body :
       {"R.", "b.", "s.", "t.", "a.", "(", "h\1.", "q\1.", "}(Ku.", "}Ks.", "Q.", "K\1Q.", ".",
        "K\1.", "].", "}X\xff\xff\xff\xff.", "cposix"}) {
    const auto path = write_zip("\x80\x02" + body);
    EXPECT_THROW(read_torch_file(path), Error) << body;
  }
}

TEST_F(HostileTorchFile, TensorsMustLieInTheirStorages) {
  const auto refuse = [&](const PickledTensor& tensor, std::string_view fact) {
    expect_pickle_refused(pickled_state(pickled(tensor)), {fact});
  };
  refuse({.first = 1}, "outside its storage of 24 bytes");
  refuse({.first = -1}, "from 0 on");
  refuse({.sizes = {3, 3}}, "outside its storage");
  refuse({.strides = {4, 1}}, "outside its storage");
  refuse({.strides = {-3, 1}}, "from 0 on");
  refuse({.sizes = {2, -3}}, "from 0 on");
  refuse({.sizes = {6}}, "as many of the one as of the other");
  refuse({.sizes = {INT32_MAX, INT32_MAX, INT32_MAX}, .strides = {0, 0, 0}}, "overflows");
  refuse({.sizes = {2, INT32_MAX}, .strides = {0, INT32_MAX}}, "outside its storage");
  refuse({.numel = 7}, "expected 28 bytes, got 24");
  refuse({.numel = -1}, "a number of elements");
  refuse({.key = "1"}, "no 'm/data/1'");
  refuse({.key = "../data/0"}, "no 'm/data/../data/0'");
  refuse({.key = std::string(300, 'k')}, "persistent id");
  refuse({.storage_type = "UntypedStorage", .numel = 24, .sizes = {4, 7}, .strides = {7, 1}},
         "outside its storage");
}

TEST_F(HostileTorchFile, Archives) {
  const std::string pickle = pickled_state(pickled(PickledTensor{}));
  const ZipEntry data{"m/data.pkl", pickle};
  const ZipEntry storage{"m/data/0", std::string(24, 'x')};
  expect_refused(make_zip({{"m/data.pkl", pickle, 8}, storage}), {"'m/data.pkl'", "compressed"},
                 ErrorCode::unsupported);
  expect_refused(make_zip({data, {"m/data/0", std::string(24, 'x'), 0, 1}}), {"an encrypted"},
                 ErrorCode::unsupported);
  for (const std::string& name :
       {std::string("../escape"), std::string("m/../../x"), std::string("/etc/passwd"),
        std::string("m\\data.pkl"), std::string("m/\0x", 4), std::string()}) {
    SCOPED_TRACE(name);
    expect_refused(make_zip({data, storage, {name, "x"}}), {"inside the archive"});
  }
  expect_refused(make_zip({data, storage, storage}), {"'m/data/0' twice"});
  expect_refused(make_zip({data, {"n/data.pkl", pickle}, storage}), {"more than one data.pkl"});
  expect_refused(make_zip({storage}), {"no data.pkl"});
  expect_refused(make_zip({data, {"m/data/0", "x", 0, 0, 1U << 30}}), {"outside the file"});
  expect_refused(make_zip({data, storage, {"m/byteorder", "big"}}), {"'little', got 'big'"},
                 ErrorCode::unsupported);
  expect_refused(make_zip({data, storage, {"m/constants.pkl", ""}}), {"TorchScript"},
                 ErrorCode::unsupported);
  const std::string good = make_zip({data, storage});
  for (std::size_t size = 0; size < good.size(); ++size) {
    const auto path = write(good.substr(0, size));
    EXPECT_THROW(read_torch_file(path), Error) << size;
  }
}

TEST_F(HostileTorchFile, OtherFiles) {
  expect_refused("", {"expected a file that torch.save wrote"});
  expect_refused("\x80\x02K\1.", {"expected a file that torch.save wrote"});
  expect_refused("version https://git-lfs.github.com/spec/v1\n", {"git-LFS"});
  expect_refused(std::string(257, '\0') + "ustar" + std::string(300, '\0'), {"tar"},
                 ErrorCode::unsupported);
}

/// Files that ask for much are refused in a moment and in little memory.
TEST_F(HostileTorchFile, Bombs) {
  const auto begin = std::chrono::steady_clock::now();
  expect_pickle_refused("\x80\x02" + std::string(7'000'000, '}'), {"at most 500000 values"});
  expect_pickle_refused("\x80\x02" + std::string(9'000'000, '}'), {"data.pkl of at most"});
  expect_pickle_refused("\x80\x02" + std::string(8'000'000, '('), {"truncated"});
  std::string doubling = "\x80\x02}q\1";
  for (int i = 0; i < 1'000'000; ++i) doubling += "h\1h\1s";
  expect_pickle_refused(doubling, {"truncated"});
  std::string copies = "\x80\x02";
  copies += pickled_global("torch", "Size") + "q\1" + "(" + std::string(100'000, 'N') + "tq\2";
  for (int i = 0; i < 400'000; ++i) copies += "h\1h\2\x85R";
  expect_pickle_refused(copies, {"at most"});
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
}

}  // namespace
}  // namespace quern
