#include "model/random_weights.h"

#include <array>
#include <cmath>
#include <optional>
#include <variant>

#include "base/check.h"

namespace quern {
namespace {

constexpr float kMatrixScale = 0x1p-13f;  // an odd integer below 256 has the deviation 147.8
constexpr float kGainScale = 0x1p-7f;
constexpr int kGainBits = 4;

/// Beside outliers, which alone decide on the norms, nothing would stop the other channels from
/// growing layer by layer. They start at the order of 1, and the layers add little.
constexpr float kOutlierEmbeddingScale = 0x1p-7f;
constexpr float kOutlierResidualShare = 0x1p-4f;

/// Pairs of outlier channels and by how much they are larger. Several are the largest, so that a
/// token for which one of them happens to be small has others.
constexpr std::array kOutlierFactors = {0x1p10f, 0x1p10f, 0x1p11f, 0x1p12f,
                                        0x1p13f, 0x1p13f, 0x1p13f, 0x1p13f};

/// Writes the runs of a graph's weights.
class RandomWriter {
 public:
  RandomWriter(const Graph& graph, const RandomInit& init)
      : graph_(graph), init_(init), runs_(graph.weights.size()) {}

  std::vector<std::vector<RandomRun>> write() {
    for (const Node& node : graph_.nodes) {
      std::visit([&](const auto& op) { add(op); }, node.op);
    }
    return std::move(runs_);
  }

 private:
  void add(const Embed& op) {
    if (op.position_embedding) fill(*op.position_embedding, kMatrixScale);
    fill(op.token_embedding, init_.outliers ? kOutlierEmbeddingScale : kMatrixScale);
    if (init_.outliers) add_outliers(op.token_embedding);
  }

  void add(const NormLinear& op) {
    const bool tied = graph_.weight(op.weight).use == WeightUse::embedding;
    add_gain(op.gain);
    if (init_.outliers) balance(op.gain, tied);
    for (const auto& id : {op.norm_bias, op.bias}) {
      if (id) fill(*id, kMatrixScale);
    }
    if (!tied) fill(op.weight, kMatrixScale);
  }

  void add(const Attention& op) {
    for (const auto& id : {op.q_norm, op.k_norm}) {
      if (id) add_gain(*id);
    }
  }

  void add(const Linear& op) {
    const double depth = std::sqrt(2.0 * init_.num_layers);
    float scale = std::ldexp(kMatrixScale, -static_cast<int>(std::lround(std::log2(depth))));
    if (init_.outliers) scale *= kOutlierResidualShare;
    fill(op.weight, scale);
    if (op.bias) fill(*op.bias, scale);
  }

  template <typename Other>
  void add(const Other&) {}  // has no weights

  std::vector<RandomRun>& runs_of(WeightId id) { return runs_[static_cast<std::size_t>(id)]; }

  void fill(WeightId id, float scale, float offset = 0.0f, int bits = 8) {
    const WeightSpec& spec = graph_.weight(id);
    RandomRun run;
    run.key = random_key(init_.seed, spec.name);
    run.count = spec.out_features * spec.in_features;
    run.scale = scale;
    run.offset = offset;
    run.bits = bits;
    runs_of(id) = {run};
  }

  void add_gain(WeightId id) { fill(id, kGainScale, 1.0f, kGainBits); }

  /// Calls body(channel, partner, factor) for each pair of outlier channels.
  template <typename Body>
  static void for_each_pair(std::int64_t num_channels, const Body& body) {
    constexpr auto kPairs = std::ssize(kOutlierFactors);
    const std::int64_t distance = num_channels / (2 * kPairs);
    QUERN_CHECK(distance > 1, "outliers in {} channels", num_channels);
    for (std::int64_t pair = 0; pair < kPairs; ++pair) {
      const std::int64_t channel = 2 * pair * distance + 1;
      body(channel, channel + distance, kOutlierFactors[static_cast<std::size_t>(pair)]);
    }
  }

  /// Makes columns of an embedding large, each of a pair the other's negative.
  void add_outliers(WeightId id) {
    const WeightSpec& spec = graph_.weight(id);
    RandomRun column = runs_of(id).front();
    const float scale = column.scale;
    column.stride = spec.in_features;
    column.count = spec.out_features;
    for_each_pair(spec.in_features, [&](std::int64_t channel, std::int64_t partner, float factor) {
      column.source = channel;
      for (const std::int64_t target : {channel, partner}) {
        column.first = target;
        column.scale = target == channel ? factor * scale : -factor * scale;
        runs_of(id).push_back(column);
      }
    });
  }

  /// Lets a norm's gain take the outliers back and give the other channels the size that they would
  /// have without them. A tied lm_head has outliers and sizes of the embedding: its norm takes them
  /// back too.
  void balance(WeightId gain, bool tied) {
    const std::int64_t num_channels = graph_.weight(gain).in_features;
    double mean_square = 1.0;
    for_each_pair(num_channels, [&](std::int64_t, std::int64_t, float factor) {
      mean_square += 2.0 * factor * factor / static_cast<double>(num_channels);
    });
    float others = std::exp2(static_cast<float>(std::lround(0.5 * std::log2(mean_square))));
    if (tied) others *= kMatrixScale / kOutlierEmbeddingScale;
    fill(gain, others * kGainScale, others, kGainBits);
    const RandomRun whole = runs_of(gain).front();
    for_each_pair(num_channels, [&](std::int64_t channel, std::int64_t partner, float factor) {
      for (const std::int64_t target : {channel, partner}) {
        RandomRun run = whole.part(target, 1);
        run.offset = others / (tied ? factor * factor : factor);
        run.scale = run.offset * kGainScale;
        runs_of(gain).push_back(run);
      }
    });
  }

  const Graph& graph_;
  RandomInit init_;
  std::vector<std::vector<RandomRun>> runs_;
};

}  // namespace

std::vector<std::vector<RandomRun>> random_weights(const Graph& graph, const RandomInit& init) {
  return RandomWriter(graph, init).write();
}

}  // namespace quern
