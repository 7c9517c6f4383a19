#include "model/shapes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "graph/graph.h"
#include "model/model.h"
#include "model/random_weights.h"
#include "tests/support/expect_error.h"

namespace quern {
namespace {

std::int64_t num_parameters(const Graph& graph) {
  std::int64_t count = 0;
  for (const WeightSpec& spec : graph.weights) count += spec.out_features * spec.in_features;
  return count;
}

TEST(Shapes, HaveTheirModelsSizes) {
  // As published for the models; the GPT shapes by their formula, with a vocabulary of 51200.
  const std::map<std::string, std::int64_t> expected = {
      {"gpt_350m", 355788800},     {"gpt_1.5b", 1559120000},   {"gpt2_medium", 354823168},
      {"llama_7b", 6738415616},    {"llama3_8b", 8030261248},  {"qwen_7b_chat", 7721324544},
      {"qwen2.5_0.5b", 494032768}, {"qwen2.5_7b", 7615616512}, {"qwen3_0.6b", 596049920},
  };
  for (const std::string& name : known_shape_names()) {
    SCOPED_TRACE(name);
    ASSERT_TRUE(expected.contains(name));
    const Graph graph = build_graph(shape_config(name), DType::float16);
    EXPECT_NO_THROW(validate(graph));
    EXPECT_EQ(num_parameters(graph), expected.at(name));
  }
  EXPECT_EQ(known_shape_names().size(), expected.size());
}

TEST(Shapes, UnknownOnesAreErrors) {
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"'llama_8b'", "llama_7b", "qwen3_0.6b"}),
                     shape_config("llama_8b"));
}

TEST(Shapes, LayersCanBeLeftOut) {
  ModelConfig config = shape_config("llama_7b");
  keep_layers(config, 4);
  EXPECT_EQ(build_graph(config, DType::float16).nodes.size(), 4U * 5 + 2);
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"layers 5", "1 to 4"}), keep_layers(config, 5));
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"layers 0", "1 to 4"}), keep_layers(config, 0));
}

/// A graph of a shape's first layers and what its weights hold.
class RandomWeights : public ::testing::TestWithParam<const char*> {
 protected:
  void make(RandomInit init = {}, int num_layers = 2) {
    ModelConfig config = shape_config(GetParam());
    init.num_layers = config.num_hidden_layers;
    keep_layers(config, num_layers);
    graph_ = build_graph(config, DType::float32);
    runs_ = random_weights(graph_, init);
  }
  std::vector<float> values(WeightId id) const {
    const WeightSpec& spec = graph_.weight(id);
    std::vector<float> content(static_cast<std::size_t>(spec.out_features * spec.in_features),
                               std::nanf(""));
    for (const RandomRun& run : runs_[static_cast<std::size_t>(id)]) {
      fill_random(run, DType::float32, reinterpret_cast<std::byte*>(content.data()));
    }
    return content;
  }
  static double deviation(const std::vector<float>& values) {
    double mean = 0.0;
    double square = 0.0;
    for (const float value : values) {
      mean += value / static_cast<double>(values.size());
      square += double{value} * value / static_cast<double>(values.size());
    }
    return std::sqrt(square - mean * mean);
  }

  Graph graph_;
  std::vector<std::vector<RandomRun>> runs_;
};

TEST_P(RandomWeights, FillEveryWeightLikeAFreshModel) {
  make();
  for (std::size_t i = 0; i < graph_.weights.size(); ++i) {
    const WeightSpec& spec = graph_.weights[i];
    SCOPED_TRACE(spec.name);
    const auto content = values(static_cast<WeightId>(i));
    const auto [low, high] = std::minmax_element(content.begin(), content.end());
    ASSERT_FALSE(std::isnan(*low));  // a hole would be
    if (spec.name.ends_with("norm")) {
      EXPECT_GT(*low, 0.8f);
      EXPECT_LT(*high, 1.2f);
      continue;
    }
    const bool residual = spec.name.find("attention_out") != std::string::npos ||
                          spec.name.find("down") != std::string::npos;
    // 0.018, and an eighth of it for √(2 · 24 … 32) layers.
    EXPECT_NEAR(deviation(content), residual ? 0.018 / 8 : 0.018, residual ? 0.0002 : 0.001);
  }
}

TEST_P(RandomWeights, LayersLeftOutChangeNothing) {
  make({}, 1);
  const auto id = static_cast<WeightId>(graph_.weights.size() / 2);
  const std::string name = graph_.weight(id).name;
  const auto alone = values(id);
  make({}, 2);
  for (std::size_t i = 0; i < graph_.weights.size(); ++i) {
    if (graph_.weights[i].name == name) {
      EXPECT_EQ(values(static_cast<WeightId>(i)), alone);
    }
  }
}

TEST_P(RandomWeights, OutliersComeInPairsThatTheGainsTakeBack) {
  make({.outliers = true}, 1);
  const auto embedding = std::get<Embed>(graph_.nodes.front().op).token_embedding;
  const auto hidden = static_cast<std::size_t>(graph_.weight(embedding).in_features);
  const auto rows = values(embedding);
  const auto gain = values(std::get<NormLinear>(graph_.nodes[1].op).gain);
  std::map<float, int> factors;
  for (std::size_t channel = 0; channel < hidden; ++channel) {
    float largest = 0.0f;
    for (std::size_t row = 0; row < 500; ++row) {
      largest = std::max(largest, std::abs(rows[row * hidden + channel]));
    }
    const float factor = std::exp2(std::round(std::log2(largest / (255 * 0x1p-7f))));
    ++factors[factor];
    // A gain is its factor's inverse, but for the same share of all and the numbers' own ±12 %.
    EXPECT_NEAR(std::log2(gain[channel] * factor / gain[0]), 0.0, 0.4) << channel;
  }
  EXPECT_EQ(factors, (std::map<float, int>{{1.0f, static_cast<int>(hidden) - 16},
                                           {1024.0f, 4},
                                           {2048.0f, 2},
                                           {4096.0f, 2},
                                           {8192.0f, 8}}));
  const std::size_t distance = hidden / 16;
  for (std::size_t row = 0; row < 500; ++row) {
    for (std::size_t pair = 0; pair < 8; ++pair) {
      const float* channel = &rows[row * hidden + 2 * pair * distance + 1];
      EXPECT_EQ(channel[0], -channel[distance]);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, RandomWeights,
                         ::testing::Values("gpt2_medium", "qwen2.5_0.5b", "qwen3_0.6b"),
                         [](const auto& test) {
                           std::string name = test.param;
                           std::replace(name.begin(), name.end(), '.', '_');
                           return name;
                         });

}  // namespace
}  // namespace quern
