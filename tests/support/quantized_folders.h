#pragma once

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

namespace quern::testing {

/// A quantized model folder with expected results.
struct QuantizedFolder {
  std::filesystem::path path;
  bool is_shared = false;  ///< one of the golden folders, which are not part of the repository
};

/// The folders of tests/golden/quant, and those beside the repository where they are.
inline std::vector<QuantizedFolder> quantized_folders() {
  const std::filesystem::path source(QUERN_SOURCE_DIR);
  std::vector<QuantizedFolder> folders;
  for (const bool is_shared : {false, true}) {
    const auto parent =
        is_shared ? source.parent_path() / "shared/quant" : source / "tests/golden/quant";
    if (!std::filesystem::is_directory(parent)) continue;
    for (const auto& entry : std::filesystem::directory_iterator(parent)) {
      if (std::filesystem::exists(entry.path() / "expected.json")) {
        folders.push_back({entry.path(), is_shared});
      }
    }
  }
  std::ranges::sort(folders, {}, &QuantizedFolder::path);
  return folders;
}

/// A test's name.
inline std::string folder_test_name(const QuantizedFolder& folder) {
  std::string name = folder.path.filename().string();
  std::ranges::replace_if(
      name, [](char c) { return c == '-' || c == '_'; }, '_');
  return (folder.is_shared ? "golden_" : "tiny_") + name;
}

inline nlohmann::json read_expected(const QuantizedFolder& folder) {
  std::ifstream stream(folder.path / "expected.json");
  if (!stream) throw std::runtime_error("cannot read " + folder.path.string());
  return nlohmann::json::parse(stream);
}

}  // namespace quern::testing
