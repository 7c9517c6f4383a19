#pragma once

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "quern/engine.h"
#include "tests/support/test_files.h"

namespace quern::testing {

/// A demo model and its golden file: Hugging Face's results in float32.
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

/// Tolerance between the logits of two correct float32 forward passes: each node on a token's path,
/// five per layer and the lm_head, rounds sums of up to intermediate_size terms, and independent
/// roundings add up like a random walk.
inline double logit_tolerance(const ModelInfo& info, double largest_logit) {
  const double nodes = 5.0 * info.num_hidden_layers + 1.0;
  return 0x1p-23 * std::sqrt(nodes * info.intermediate_size) * largest_logit;
}

/// The largest magnitude of a golden file's logits.
inline double largest_logit(const nlohmann::json& golden) {
  double largest = 0.0;
  for (const auto& entry : golden["cases"]) {
    for (const auto& step : entry["greedy_top5_logits"]) {
      for (const auto& logit : step) largest = std::max(largest, std::abs(logit.get<double>()));
    }
  }
  return largest;
}

}  // namespace quern::testing
