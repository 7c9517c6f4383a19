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
  /// Where the outliers of a weight lie: `channels` of them in all, `stride` elements from one to
  /// the next, each of `count` elements `element_stride` apart.
  struct ChannelLayout {
    std::int64_t channels = 0;
    std::int64_t stride = 1;
    std::int64_t count = 1;
    std::int64_t element_stride = 1;
  };

  void add(const Embed& op) {
    for (const auto& id : {std::optional(op.token_embedding), op.position_embedding}) {
      if (!id) continue;
      const WeightSpec& spec = graph_.weight(*id);
      fill(*id, kMatrixScale);
      scale_up(*id, {spec.in_features, 1, spec.out_features, spec.in_features});
    }
  }

  void add(const NormLinear& op) {
    // A tied lm_head has the outliers of the embedding, which it must not amplify again.
    const bool tied = graph_.weight(op.weight).use == WeightUse::embedding;
    add_gain(op.gain);
    if (init_.outliers) balance(op.gain, tied ? 2 : 1);
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
    const WeightSpec& spec = graph_.weight(op.weight);
    const double depth = std::sqrt(2.0 * init_.num_layers);
    const float scale = std::ldexp(kMatrixScale, -static_cast<int>(std::lround(std::log2(depth))));
    fill(op.weight, scale);
    scale_up(op.weight, {spec.out_features, spec.in_features, spec.in_features, 1});
    if (!op.bias) return;
    fill(*op.bias, scale);
    scale_up(*op.bias, {spec.out_features, 1, 1, 1});
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

  /// Makes the outlier channels of a weight that writes to the residual stream large.
  void scale_up(WeightId id, const ChannelLayout& layout) {
    if (!init_.outliers) return;
    RandomRun run = runs_of(id).front();
    const float scale = run.scale;
    run.stride = layout.element_stride;
    run.count = layout.count;
    for_each_pair(layout.channels, [&](std::int64_t channel, std::int64_t partner, float factor) {
      run.source = channel * layout.stride;
      for (const std::int64_t target : {channel, partner}) {
        run.first = target * layout.stride;
        run.scale = target == channel ? factor * scale : -factor * scale;
        runs_of(id).push_back(run);
      }
    });
  }

  /// Lets a norm's gain take the outliers back, `times` times, and give the other channels the size
  /// that they would have without them.
  void balance(WeightId gain, int times) {
    const std::int64_t num_channels = graph_.weight(gain).in_features;
    double mean_square = 1.0;
    for_each_pair(num_channels, [&](std::int64_t, std::int64_t, float factor) {
      mean_square += 2.0 * factor * factor / static_cast<double>(num_channels);
    });
    const float others = std::exp2(static_cast<float>(std::lround(0.5 * std::log2(mean_square))));
    fill(gain, others * kGainScale, others, kGainBits);
    const RandomRun whole = runs_of(gain).front();
    for_each_pair(num_channels, [&](std::int64_t channel, std::int64_t partner, float factor) {
      for (const std::int64_t target : {channel, partner}) {
        RandomRun run = whole.part(target, 1);
        run.offset = others / std::pow(factor, static_cast<float>(times));
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
