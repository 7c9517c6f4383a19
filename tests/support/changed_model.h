#pragma once

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <string>

#include "base/half.h"
#include "io/json.h"
#include "tests/support/test_files.h"

namespace quern::testing {

/// A copy of a demo model, of one float16 safetensors file, in which weights are changed.
class ChangedModel {
 public:
  explicit ChangedModel(const std::string& name = "tale-llama") {
    std::filesystem::copy(demo_model(name), folder_.path(),
                          std::filesystem::copy_options::recursive);
    bytes_ = read_file(weights_path());
  }

  /// Writes `value` to the elements [first, first + count) of a weight.
  void fill(const std::string& weight, std::int64_t first, std::int64_t count, float value) {
    std::uint64_t header_bytes = 0;
    std::memcpy(&header_bytes, bytes_.data(), sizeof(header_bytes));
    const Json header = parse_json(bytes_.substr(sizeof(header_bytes), header_bytes), weight);
    const auto begin = header.at(weight).at("data_offsets").at(0).get<std::uint64_t>();
    const Half half = to_half(value);
    for (std::int64_t i = first; i < first + count; ++i) {
      std::memcpy(bytes_.data() + sizeof(header_bytes) + header_bytes + begin + i * sizeof(Half),
                  &half, sizeof(Half));
    }
    write_file(weights_path(), bytes_);
  }

  std::string folder() const { return folder_.path().string(); }

 private:
  std::filesystem::path weights_path() const { return folder_ / "model.safetensors"; }

  TempFolder folder_;
  std::string bytes_;
};

/// tale-llama with a token whose embedding is NaN: whoever has it in the prompt, or chooses it, has
/// no logits from there on.
class PoisonedModel : public ChangedModel {
 public:
  static constexpr std::int32_t kPoison = 777;
  explicit PoisonedModel(std::int32_t token = kPoison) {
    constexpr std::int64_t kHiddenSize = 192;
    fill("model.embed_tokens.weight", token * kHiddenSize, kHiddenSize,
         std::numeric_limits<float>::quiet_NaN());
  }
};

/// tale-llama with a last norm of which float16 cannot hold the result.
class OverflowingModel : public ChangedModel {
 public:
  OverflowingModel() { fill("model.norm.weight", 0, 192, 60000.0f); }
};

}  // namespace quern::testing
