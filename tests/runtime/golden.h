#pragma once

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/support/test_files.h"

namespace quern::testing {

/// A demo model and the file of Hugging Face's float32 answers that it must give.
struct GoldenModel {
  std::string model;
  std::string golden;
};

inline const std::vector<GoldenModel>& golden_models() {
  static const std::vector<GoldenModel> models = {{"tale-gpt2", "gpt2"},
                                                  {"tale-llama", "llama"},
                                                  {"tale-qwen", "qwen2"},
                                                  {"tale-qwen2", "qwen2"}};
  return models;
}

inline std::filesystem::path golden_file(const std::string& name) {
  return std::filesystem::path(QUERN_SOURCE_DIR) / "tests/golden" / name;
}

inline nlohmann::json read_golden(const std::string& golden) {
  std::ifstream stream(golden_file(golden + ".golden.json"));
  if (!stream) throw std::runtime_error("missing tests/golden/" + golden + ".golden.json");
  return nlohmann::json::parse(stream);
}

}  // namespace quern::testing
