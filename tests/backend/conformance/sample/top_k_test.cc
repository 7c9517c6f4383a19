// Top-k over rows that are hard to select from: ties in every number, few tokens, odd vocabularies.
#include <functional>
#include <string>

#include "tests/backend/conformance/backends.h"
#include "tests/backend/conformance/sample/reference_sampling.h"
#include "tests/backend/conformance/sample/sampler.h"

namespace quern::testing {
namespace {

/// The score of each token, on a grid of 1/16 so that all scores are exact.
using LogitShape = std::function<float(int id)>;

struct NamedShape {
  std::string name;
  LogitShape score;
};

float over(int number, float divisor) { return static_cast<float>(number) / divisor; }

/// A number from 0 to `bound` - 1 that looks random.
int scattered(int id, int bound) {
  auto bits = static_cast<std::uint32_t>(id) * 2654435761u;
  bits ^= bits >> 15;
  return static_cast<int>(bits * 2246822519u >> 8) % bound;
}

std::vector<NamedShape> shapes() {
  return {
      {"scattered", [](int id) { return over(scattered(id, 4096), 256); }},
      {"many ties", [](int id) { return over(scattered(id, 64), 16); }},
      {"all equal", [](int) { return -3.0f; }},
      {"few tokens", [](int id) { return id % 701 == 0 ? over(id, 512) : -kInfinity; }},
      {"one token", [](int id) { return id == 0 ? 2.0f : -kInfinity; }},
      {"falling", [](int id) { return over(-id, 16); }},
      {"rising", [](int id) { return over(id, 16); }},
      // The k-th best is among equals in all groups of 32, of which few or none are above.
      {"ten above equals",
       [](int id) { return id % 100 == 7 && id < 1000 ? over(id, 256) : 0.0f; }},
      {"equals in all groups", [](int id) { return id % 32 == 5 ? 1.0f : -1.0f; }},
      // The best are in few groups, and all other groups are equal.
      {"four groups above equals", [](int id) { return id < 128 ? 1 + over(id, 64) : 0.0f; }},
      {"equals from -inf", [](int id) { return id % 3 == 0 ? 0.5f : -kInfinity; }},
  };
}

std::vector<SamplingRow> settings() {
  std::vector<SamplingRow> rows;
  for (const int k : {1, 2, 20, 50, 63, 64, 65, 200}) {
    rows.push_back({.temperature = 1.0f, .top_k = k});
    rows.push_back({.temperature = 2.0f, .top_p = 0.9f, .top_k = k});
    rows.push_back({.temperature = 0.5f, .top_p = 0.3f, .min_p = 0.1f, .top_k = k});
    rows.push_back({.temperature = 4.0f, .min_p = 0.75f, .top_k = k});
    rows.push_back({.temperature = 2.0f,
                    .top_p = 0.7f,
                    .top_k = k,
                    .presence_penalty = 0.5f,
                    .frequency_penalty = 0.25f});
  }
  return rows;
}

class TopKConformance : public BackendTest {
 protected:
  /// Draws from a row with every setting, or every third.
  void check(const LogitShape& shape, int vocab_size, std::uint64_t seed, std::size_t stride = 1) {
    std::vector<float> logits;
    for (int id = 0; id < vocab_size; ++id) logits.push_back(shape(id));
    std::vector<SamplingRow> all;
    for (std::size_t i = 0; i < settings().size(); i += stride) all.push_back(settings()[i]);
    const int num_rows = static_cast<int>(all.size());
    std::vector<float> rows;
    for (int i = 0; i < num_rows; ++i) rows.insert(rows.end(), logits.begin(), logits.end());
    Sampler sampler(*backend_, prefills(num_rows), vocab_size, rows);
    std::vector<std::int32_t> prompt, generated, expected;
    for (int i = 0; i < 12; ++i) prompt.push_back(scattered(i, vocab_size));
    for (int i = 0; i < 9; ++i) generated.push_back(scattered(i / 2, vocab_size));
    for (int i = 0; i < num_rows; ++i) {
      SamplingRow row = all[static_cast<std::size_t>(i)];
      row.seed = seed;
      row.sequence_index = static_cast<std::uint32_t>(i);
      sampler.harness.set_sampling(i, row);
      sampler.set_history(i, prompt, generated);
      const int position = static_cast<int>(prompt.size() + generated.size());
      const auto scores =
          reference_filtered(reference_processed(logits, row, prompt, generated), row, position);
      expected.push_back(reference_draw(scores, row, position));
    }
    EXPECT_EQ(sampler.run(), expected) << "in order of settings()";
  }
};

TEST_P(TopKConformance, DrawsAsSpecifiedFromEveryShape) {
  for (const auto& [name, score] : shapes()) {
    for (const int vocab_size : {1, 31, 33, 2048, 2049, 4133, 9000}) {
      SCOPED_TRACE(name + ", vocabulary of " + std::to_string(vocab_size));
      check(score, vocab_size, static_cast<std::uint64_t>(vocab_size));
    }
  }
}

TEST_P(TopKConformance, LargeVocabularies) {
  // The last is too large for a kernel that keeps the largest score of each 32 tokens.
  for (const int vocab_size : {151936, 262144, 262145}) {
    SCOPED_TRACE(vocab_size);
    check([](int id) { return over(scattered(id, 1 << 20), 65536); }, vocab_size, 1, 3);
    // The best are far apart in regular distances.
    check([](int id) { return id % 8192 < 2 ? 1 + over(id, 65536) : 0.0f; }, vocab_size, 2, 3);
  }
}

QUERN_INSTANTIATE(TopKConformance);

}  // namespace
}  // namespace quern::testing
