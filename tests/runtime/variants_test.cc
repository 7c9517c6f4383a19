// Every variant of a config that tests/variants/make_variants.py wrote, on the CPU and on a GPU,
// against Hugging Face's answers in float32.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "backend/cuda/driver/device_query.h"
#include "quern/engine.h"
#include "quern/safetensors.h"
#include "tests/support/test_files.h"

namespace quern {
namespace {

using Ids = std::vector<std::int32_t>;

const std::filesystem::path kFolder = std::filesystem::path(QUERN_SOURCE_DIR) / "tests/variants";

nlohmann::json read_variants() {
  std::ifstream stream(kFolder / "variants.json");
  return nlohmann::json::parse(stream).at("variants");
}

/// A folder of the variant's files.
class VariantFolder {
 public:
  explicit VariantFolder(const nlohmann::json& variant) {
    testing::write_file(folder_ / "config.json", variant["config"].dump());
    if (variant.contains("generation_config")) {
      testing::write_file(folder_ / "generation_config.json", variant["generation_config"].dump());
    }
    const auto weights = variant["weights"].get<std::string>() + ".safetensors";
    std::filesystem::create_symlink(kFolder / "weights" / weights, folder_ / "model.safetensors");
  }
  std::string path() const { return folder_.path().string(); }

 private:
  testing::TempFolder folder_;
};

class VariantsTest : public ::testing::TestWithParam<DeviceChoice> {
 protected:
  void SetUp() override {
    const CudaEnvironment cuda = query_cuda();
    if (GetParam() == DeviceChoice::cuda &&
        !(cuda.built_with_cuda && cuda.unavailable_reason.empty())) {
      GTEST_SKIP() << "needs a GPU: "
                   << (cuda.built_with_cuda ? cuda.unavailable_reason : "a build without CUDA");
    }
    options_.device = GetParam();
    options_.dtype = DType::float32;
    options_.threads = 1;
    options_.max_seqs = 1;
  }

  EngineOptions options_;
};

void expect_logits(Engine& engine, const nlohmann::json& variant,
                   const std::vector<std::byte>& bytes) {
  constexpr float kTolerance = 1e-4f;
  const auto found = engine.logits(variant["prompt_ids"].get<Ids>());
  std::vector<float> expected(bytes.size() / sizeof(float));
  std::memcpy(expected.data(), bytes.data(), bytes.size());
  ASSERT_EQ(found.size(), expected.size());
  float largest = 0.0f;
  for (std::size_t i = 0; i < found.size(); ++i) {
    const float difference = std::abs(found[i] - expected[i]);
    largest = std::isnan(difference) ? INFINITY : std::max(largest, difference);
  }
  EXPECT_LT(largest, kTolerance);
}

TEST_P(VariantsTest, LogitsAndGreedyIds) {
  const auto logits = SafetensorsFile::open(kFolder / "logits.safetensors");
  for (const auto& variant : read_variants()) {
    if (variant.contains("generation_config")) continue;
    SCOPED_TRACE(variant["name"]);
    try {
      const VariantFolder folder(variant);
      options_.max_seq_len = variant.value("max_seq_len", 0);
      Engine engine = Engine::load(folder.path(), options_);
      const auto entry = std::find_if(logits.entries().begin(), logits.entries().end(),
                                      [&](const SafetensorsEntry& tensor) {
                                        return tensor.name == variant["name"].get<std::string>();
                                      });
      ASSERT_NE(entry, logits.entries().end());
      expect_logits(engine, variant, logits.read(*entry));

      Request request;
      request.prompt_ids = variant["prompt_ids"].get<Ids>();
      request.sampling.greedy = true;
      request.ignore_eos = true;
      request.max_new_tokens = static_cast<int>(variant["greedy_ids"].size());
      EXPECT_EQ(engine.generate(request).output_ids, variant["greedy_ids"].get<Ids>());
    } catch (const std::exception& error) {
      ADD_FAILURE() << error.what();
    }
  }
}

TEST_P(VariantsTest, GenerationConfigs) {
  for (const auto& variant : read_variants()) {
    if (!variant.contains("generation_config")) continue;
    SCOPED_TRACE(variant["name"]);
    try {
      const VariantFolder folder(variant);
      Engine engine = Engine::load(folder.path(), options_);
      Request request;
      request.prompt_ids = variant["prompt_ids"].get<Ids>();
      if (!variant["max_new_tokens"].is_null()) {
        request.max_new_tokens = variant["max_new_tokens"].get<int>();
      }
      EXPECT_EQ(engine.generate(request).output_ids, variant["generated_ids"].get<Ids>());
    } catch (const std::exception& error) {
      ADD_FAILURE() << error.what();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, VariantsTest,
                         ::testing::Values(DeviceChoice::cpu, DeviceChoice::cuda),
                         [](const auto& device) {
                           return device.param == DeviceChoice::cpu ? "cpu" : "cuda";
                         });

}  // namespace
}  // namespace quern
