#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <string>

#include "tests/support/test_files.h"

namespace quern::testing {

/// A copy of a demo model (one float16 safetensors file) with modified weights.
class ChangedModel {
 public:
  explicit ChangedModel(const std::string& name = "tale-llama") {
    std::filesystem::copy(demo_model(name), folder_.path(),
                          std::filesystem::copy_options::recursive);
    bytes_ = read_file(weights_path());
  }

  /// Writes a float16, given by its bits, to the elements [first, first + count) of a weight.
  void fill(const std::string& weight, std::size_t first, std::size_t count, std::uint16_t half) {
    const std::size_t begin = data_of(weight) + first * sizeof(half);
    for (std::size_t i = 0; i < count; ++i) {
      std::memcpy(bytes_.data() + begin + i * sizeof(half), &half, sizeof(half));
    }
    write_file(weights_path(), bytes_);
  }

  std::string folder() const { return folder_.path().string(); }

 private:
  std::filesystem::path weights_path() const { return folder_ / "model.safetensors"; }

  /// Where the file has the weight's first byte.
  std::size_t data_of(const std::string& weight) const {
    std::uint64_t header_bytes = 0;
    std::memcpy(&header_bytes, bytes_.data(), sizeof(header_bytes));
    const std::string header = bytes_.substr(sizeof(header_bytes), header_bytes);
    const std::string key = "\"data_offsets\":[";
    const std::size_t entry = header.find('"' + weight + '"');
    const std::size_t offsets = header.find(key, entry);
    if (entry == std::string::npos || offsets == std::string::npos) {
      throw std::runtime_error(weight + " is not in " + weights_path().string());
    }
    return sizeof(header_bytes) + header_bytes + std::stoull(header.substr(offsets + key.size()));
  }

  TempFolder folder_;
  std::string bytes_;
};

/// tale-llama with a token whose embedding is NaN: a sequence with it in the prompt, or that
/// chooses it, has NaN logits from there on.
class PoisonedModel : public ChangedModel {
 public:
  static constexpr std::int32_t kPoison = 777;
  explicit PoisonedModel(std::int32_t token = kPoison) {
    constexpr std::size_t kHiddenSize = 192;
    constexpr std::uint16_t kNan = 0x7e00;
    fill("model.embed_tokens.weight", static_cast<std::size_t>(token) * kHiddenSize, kHiddenSize,
         kNan);
  }
};

/// tale-llama with a final norm that overflows float16.
class OverflowingModel : public ChangedModel {
 public:
  OverflowingModel() {
    constexpr std::uint16_t kSixtyThousand = 0x7b53;
    fill("model.norm.weight", 0, 192, kSixtyThousand);
  }
};

}  // namespace quern::testing
