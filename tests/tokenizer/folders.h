#pragma once

#include <filesystem>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "tests/support/test_files.h"
#include "tokenizer/models/byte_level.h"

namespace quern::testing {

/// A model folder that lasts as long as this, with these files.
class ModelFolder {
 public:
  explicit ModelFolder(
      std::initializer_list<std::pair<std::string_view, std::string_view>> files = {}) {
    for (const auto& [name, content] : files) write(name, content);
  }
  void write(std::string_view name, std::string_view content) const {
    write_file(folder_ / name, content);
  }
  void link(std::string_view name, const std::filesystem::path& target) const {
    std::filesystem::create_symlink(target, folder_ / name);
  }
  const std::filesystem::path& path() const { return folder_.path(); }

 private:
  TempFolder folder_;
};

/// The 256 single bytes as a vocabulary in which byte b has id b.
inline nlohmann::json byte_vocab() {
  nlohmann::json vocab = nlohmann::json::object();
  for (int byte = 0; byte < 256; ++byte) {
    vocab[symbols_from_bytes(std::string(1, static_cast<char>(byte)))] = byte;
  }
  return vocab;
}

/// A tokenizer.json like GPT-2's: the bytes, then "ab" 256, "bc" 257, "abc" 258 with merges in that
/// order, then <|end|> 259.
inline nlohmann::json small_tokenizer_json() {
  nlohmann::json vocab = byte_vocab();
  vocab["ab"] = 256;
  vocab["bc"] = 257;
  vocab["abc"] = 258;
  const nlohmann::json byte_level = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}};
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", {{{"id", 259}, {"content", "<|end|>"}, {"special", true}}}},
          {"normalizer", nullptr},
          {"pre_tokenizer", byte_level},
          {"post_processor", nullptr},
          {"decoder", byte_level},
          {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", {"a b", "b c", "ab c"}}}}};
}

}  // namespace quern::testing
