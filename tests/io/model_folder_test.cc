#include <gtest/gtest.h>
#include <stdlib.h>

#include <map>
#include <optional>

#include "quern/files.h"
#include "tests/support/expect_error.h"
#include "tests/support/test_files.h"

namespace quern {
namespace {

using testing::TempFolder;
using testing::write_file;

/// Clears the variables that name a cache before each test and restores them after it.
class ModelFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME", "HOME"}) {
      const char* value = ::getenv(name);
      saved_[name] = value == nullptr ? std::nullopt : std::optional<std::string>(value);
      ::unsetenv(name);
    }
  }
  void TearDown() override {
    for (const auto& [name, value] : saved_) {
      value ? ::setenv(name.c_str(), value->c_str(), 1) : ::unsetenv(name.c_str());
    }
  }

  /// Makes a cache entry as huggingface_hub does; returns its snapshot.
  static std::filesystem::path make_entry(const std::filesystem::path& entry) {
    write_file(entry / "refs/main", "0a1b2c");
    std::filesystem::create_directories(entry / "snapshots/0a1b2c");
    return entry / "snapshots/0a1b2c";
  }

  const TempFolder folder_;

 private:
  std::map<std::string, std::optional<std::string>> saved_;
};

TEST_F(ModelFolder, AFolderIsItself) {
  EXPECT_EQ(find_model_folder(folder_.path().string()), folder_.path());
}

TEST_F(ModelFolder, ACacheEntryIsItsMainSnapshot) {
  const auto entry = folder_ / "models--org--name";
  const auto snapshot = make_entry(entry);
  EXPECT_EQ(find_model_folder(entry.string()), snapshot);
  EXPECT_EQ(find_model_folder(snapshot.string()), snapshot);
  write_file(entry / "refs/main", "0a1b2c\n");
  EXPECT_EQ(find_model_folder(entry.string()), snapshot);
}

TEST_F(ModelFolder, NamesAreLookedUpInTheCacheThatTheVariablesName) {
  const std::pair<const char*, const char*> places[] = {{"HOME", ".cache/huggingface/hub"},
                                                        {"XDG_CACHE_HOME", "huggingface/hub"},
                                                        {"HF_HOME", "hub"},
                                                        {"HF_HUB_CACHE", ""}};
  for (const auto& [variable, below] : places) {
    const auto root = folder_ / variable;
    const auto snapshot = make_entry(root / below / "models--org--tale.v1");
    ::setenv(variable, root.c_str(), 1);
    EXPECT_TRUE(std::filesystem::equivalent(find_model_folder("org/tale.v1"), snapshot))
        << variable << " goes before those above it in the list";
  }
  ::setenv("HF_HUB_CACHE", "", 1);
  EXPECT_NE(find_model_folder("org/tale.v1").string().find("HF_HOME"), std::string::npos)
      << "an empty variable counts as unset";
}

TEST_F(ModelFolder, NamesWithoutAnOrganisation) {
  ::setenv("HF_HUB_CACHE", folder_.path().c_str(), 1);
  const auto snapshot = make_entry(folder_ / "models--gpt2-xyz");
  EXPECT_EQ(find_model_folder("gpt2-xyz"), snapshot);
}

TEST_F(ModelFolder, MissingOnesSayWhereItLooked) {
  ::setenv("HF_HUB_CACHE", folder_.path().c_str(), 1);
  EXPECT_QUERN_ERROR(ErrorCode::not_found,
                     ({"org/name: no such folder", (folder_ / "models--org--name").string(),
                       "hf download org/name"}),
                     find_model_folder("org/name"));
  ::unsetenv("HF_HUB_CACHE");
  EXPECT_QUERN_ERROR(ErrorCode::not_found, ({"org/name", "no Hugging Face cache"}),
                     find_model_folder("org/name"));
}

TEST_F(ModelFolder, PathsAreNotTakenForNames) {
  ::setenv("HF_HUB_CACHE", folder_.path().c_str(), 1);
  for (const char* path : {"/none/model", "./model", "../model", "a/b/c", "org/", "/", "org//name",
                           "org/na me", "org/.."}) {
    if (std::filesystem::exists(path)) continue;
    EXPECT_QUERN_ERROR(ErrorCode::not_found, ({path, "no such folder", "hf download ORG/NAME"}),
                       find_model_folder(path));
  }
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"empty"}), find_model_folder(""));
}

TEST_F(ModelFolder, FilesAreNamedAsWhatTheyAre) {
  const auto gguf = write_file(folder_ / "model.gguf", "GGUF");
  EXPECT_QUERN_ERROR(ErrorCode::unsupported, ({gguf.string(), "GGUF"}),
                     find_model_folder(gguf.string()));
  const auto weights = write_file(folder_ / "model.safetensors", "x");
  EXPECT_QUERN_ERROR(ErrorCode::bad_file,
                     ({weights.string(), "expected a model folder, got a file"}),
                     find_model_folder(weights.string()));
}

TEST_F(ModelFolder, BrokenCacheEntries) {
  const auto entry = folder_ / "models--org--name";
  std::filesystem::create_directories(entry / "snapshots");
  EXPECT_QUERN_ERROR(ErrorCode::not_found, ({(entry / "refs/main").string()}),
                     find_model_folder(entry.string()));
  write_file(entry / "refs/main", "gone");
  EXPECT_QUERN_ERROR(ErrorCode::not_found,
                     ({(entry / "snapshots/gone").string(), "refs/main names it"}),
                     find_model_folder(entry.string()));
  for (const std::string revision : {"", "\n", "..", "../../../etc", "/etc", "."}) {
    write_file(entry / "refs/main", revision);
    EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"refs/main", "expected the name of a snapshot"}),
                       find_model_folder(entry.string()));
  }
}

}  // namespace
}  // namespace quern
