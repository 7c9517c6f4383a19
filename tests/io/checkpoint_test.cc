#include "io/checkpoint.h"

#include <gtest/gtest.h>

#include <set>
#include <utility>

#include "tests/support/expect_error.h"
#include "tests/support/log_capture.h"
#include "tests/support/test_files.h"

namespace quern {
namespace {

using testing::demo_model;
using testing::LogCapture;
using testing::make_safetensors;
using testing::TempFolder;
using testing::write_file;

std::string one_tensor(const std::string& name) {
  return make_safetensors({{name, "U8", {4}, "data"}});
}

class CheckpointFolder : public ::testing::Test {
 protected:
  void write(const std::string& name, std::string_view content) {
    write_file(folder_ / name, content);
  }
  void write_index(const std::string& weight_map) {
    write("model.safetensors.index.json", R"({"metadata":{},"weight_map":)" + weight_map + "}");
  }
  Checkpoint open() const { return Checkpoint::open(folder_.path()); }

  const TempFolder folder_;
};

TEST_F(CheckpointFolder, OneFile) {
  write("model.safetensors", make_safetensors({{"a", "U8", {4}, "data"}, {"b", "F16", {1}, "xy"}}));
  const Checkpoint checkpoint = open();
  EXPECT_EQ(checkpoint.folder(), folder_.path());
  EXPECT_EQ(checkpoint.tensors().size(), 2u);
  EXPECT_EQ(checkpoint.total_bytes(), 6u);
  const CheckpointTensor* tensor = checkpoint.find("b");
  ASSERT_NE(tensor, nullptr);
  EXPECT_EQ(tensor->stored_type, "F16");
  EXPECT_EQ(tensor->file->path(), folder_ / "model.safetensors");
  EXPECT_EQ(tensor->read_all(), (std::vector{std::byte{'x'}, std::byte{'y'}}));
  EXPECT_EQ(checkpoint.find("c"), nullptr);
}

TEST_F(CheckpointFolder, StaysWholeWhenMoved) {
  write("model.safetensors", one_tensor("a"));
  Checkpoint first = open();
  const Checkpoint second = std::move(first);
  EXPECT_EQ(second.find("a")->read_all()[0], std::byte{'d'});
}

TEST_F(CheckpointFolder, Shards) {
  write("model-1.safetensors", make_safetensors({{"a", "U8", {4}, "data"}, {"b", "U8", {1}, "x"}}));
  write("deep/model-2.safetensors", one_tensor("c"));
  write_index(
      R"({"a":"model-1.safetensors","c":"deep/model-2.safetensors","b":"model-1.safetensors"})");
  const Checkpoint checkpoint = open();
  EXPECT_EQ(checkpoint.tensors().size(), 3u);
  EXPECT_EQ(checkpoint.total_bytes(), 9u);
  EXPECT_EQ(checkpoint.find("c")->file->path(), folder_ / "deep/model-2.safetensors");
  EXPECT_EQ(checkpoint.find("a")->file, checkpoint.find("b")->file) << "each shard is opened once";
}

TEST_F(CheckpointFolder, LinksMayLeaveTheFolder) {
  const TempFolder blobs;
  write_file(blobs / "0123", one_tensor("a"));
  write_file(blobs / "4567", R"({"weight_map":{"a":"model-1.safetensors"}})");
  std::filesystem::create_symlink(blobs / "0123", folder_ / "model-1.safetensors");
  std::filesystem::create_symlink(blobs / "4567", folder_ / "model.safetensors.index.json");
  EXPECT_EQ(open().tensors().size(), 1u);
}

TEST_F(CheckpointFolder, ASingleFileGoesBeforeAnIndex) {
  write("model.safetensors", one_tensor("single"));
  write_index(R"({"a":"none.safetensors"})");
  EXPECT_NE(open().find("single"), nullptr);
}

TEST_F(CheckpointFolder, MissingEmptyOrNoFolder) {
  EXPECT_QUERN_ERROR(ErrorCode::not_found, ({(folder_ / "none").string(), "no such folder"}),
                     Checkpoint::open(folder_ / "none"));
  EXPECT_QUERN_ERROR(ErrorCode::not_found, ({folder_.path().string(), "the folder is empty"}),
                     open());
  const auto file = write_file(folder_ / "model.safetensors", one_tensor("a"));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({file.string(), "expected a model folder, got a file"}),
                     Checkpoint::open(file));
}

TEST_F(CheckpointFolder, OtherFormatsAreNamed) {
  write("config.json", "{}");
  EXPECT_QUERN_ERROR(ErrorCode::not_found,
                     ({"expected model.safetensors, model.safetensors.index.json, "
                       "pytorch_model.bin or pytorch_model.bin.index.json, got no weights"}),
                     open());
  write("model-00001-of-00002.safetensors", one_tensor("a"));
  EXPECT_QUERN_ERROR(ErrorCode::not_found, ({"only 'model-00001-of-00002.safetensors'"}), open());
  write("tf_model.h5", "x");
  EXPECT_QUERN_ERROR(ErrorCode::unsupported,
                     ({folder_.path().string(), "got only 'tf_model.h5'", "not supported"}),
                     open());
}

TEST_F(CheckpointFolder, GgufIsNamed) {
  write("config.json", "{}");
  write("llama-q4.gguf", "GGUF");
  EXPECT_QUERN_ERROR(ErrorCode::unsupported, ({"'llama-q4.gguf'", "not supported"}), open());
}

TEST_F(CheckpointFolder, LfsPointersAndBrokenLinksAreNamed) {
  write("model.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n");
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"model.safetensors", "git-LFS pointer"}), open());
  std::filesystem::remove(folder_ / "model.safetensors");
  std::filesystem::create_symlink("../../blobs/0123", folder_ / "model.safetensors");
  EXPECT_QUERN_ERROR(ErrorCode::bad_file,
                     ({(folder_ / "model.safetensors").string(), "a link to ../../blobs/0123"}),
                     open());
  std::filesystem::remove(folder_ / "model.safetensors");
  std::filesystem::create_symlink("model.safetensors", folder_ / "model.safetensors");
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"model.safetensors", "leads back to itself"}), open());
}

TEST_F(CheckpointFolder, ShardsMustLieInsideTheFolder) {
  for (const std::string shard : {"/etc/passwd", "../outside.safetensors",
                                  "a/../../outside.safetensors", "..", "", "a\\u0000b"}) {
    write_index(R"({"a":")" + shard + R"("})");
    EXPECT_QUERN_ERROR(
        ErrorCode::bad_file,
        ({"model.safetensors.index.json: expected shards inside the folder, got '" + shard}),
        open());
  }
  write_index(R"({"a":"."})");
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"expected a file, got a folder"}), open());
}

TEST_F(CheckpointFolder, IndexesThatAreBroken) {
  const char* index = "model.safetensors.index.json";
  write(index, "{");
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({index, "not valid JSON"}), open());
  write(index, "{}");
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({index, "key 'weight_map'", "got nothing"}), open());
  write_index("{}");
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({index, "at least one tensor, got {}"}), open());
  write_index("[]");
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({index, "key 'weight_map'", "got []"}), open());
  write_index(R"({"a":1})");
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({index, "key 'weight_map.a': expected a string, got 1"}),
                     open());
}

TEST_F(CheckpointFolder, ShardsThatAreMissing) {
  write_index(R"({"a":"none.safetensors"})");
  EXPECT_QUERN_ERROR(
      ErrorCode::not_found,
      ({(folder_ / "none.safetensors").string(), "no such file", "index.json names it"}), open());
}

TEST_F(CheckpointFolder, OnlyTheShardsOfAnIndexCount) {
  write("x.safetensors", make_safetensors({{"a", "U8", {4}, "data"}, {"extra", "U8", {1}, "y"}}));
  write("y.safetensors", one_tensor("b"));
  write_index(R"({"a":"y.safetensors","b":"x.safetensors","lm_head.weight":"x.safetensors"})");
  const LogCapture log;
  const Checkpoint checkpoint = open();
  EXPECT_EQ(checkpoint.tensors().size(), 3u);
  EXPECT_EQ(checkpoint.find("a")->file->path(), folder_ / "x.safetensors");
  EXPECT_NE(checkpoint.find("extra"), nullptr);
  EXPECT_TRUE(log.has("1 tensor named, but in no shard: 'lm_head.weight'")) << log.text();
}

TEST_F(CheckpointFolder, OfTensorsInTwoShardsTheLastCounts) {
  write("x.safetensors", one_tensor("a"));
  write("y.safetensors", make_safetensors({{"a", "U8", {1}, "x"}, {"b", "U8", {1}, "y"}}));
  write_index(R"({"a":"x.safetensors","b":"y.safetensors"})");
  const LogCapture log;
  EXPECT_EQ(open().find("a")->file->path(), folder_ / "y.safetensors");
  EXPECT_TRUE(log.has("1 tensor in more than one shard")) << log.text();
}

TEST_F(CheckpointFolder, AFileCutShortIsAnError) {
  write("model.safetensors", one_tensor("a"));
  const Checkpoint checkpoint = open();
  std::filesystem::resize_file(folder_ / "model.safetensors", 20);
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"model.safetensors", "cut short"}),
                     checkpoint.find("a")->read_all());
}

TEST(DemoCheckpoints, AreReadWhole) {
  const struct {
    const char* name;
    std::size_t num_files;
  } models[] = {{"tale-gpt2", 1}, {"tale-llama", 1}, {"tale-qwen", 2}, {"tale-qwen2", 1}};
  for (const auto& model : models) {
    const Checkpoint checkpoint = Checkpoint::open(demo_model(model.name));
    std::set<const OpenFile*> files;
    for (const auto& [name, tensor] : checkpoint.tensors()) {
      EXPECT_EQ(tensor.stored_type, "F16") << name;
      files.insert(tensor.file.get());
    }
    EXPECT_EQ(files.size(), model.num_files) << model.name;
    EXPECT_GT(checkpoint.total_bytes(), 4'000'000u) << model.name;
  }
}

}  // namespace
}  // namespace quern
