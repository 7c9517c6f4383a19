// Quantized model folders: every matrix is that of the programs that made the layout, bit by bit.
#include "tests/support/quantized_folders.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "model/model.h"
#include "tests/support/sha256.h"
#include "weights/load.h"
#include "weights/quant/join.h"

namespace quern {
namespace {

using testing::QuantizedFolder;

class QuantizedFolderTest : public ::testing::TestWithParam<QuantizedFolder> {
 protected:
  void SetUp() override {
    checkpoint_ = Checkpoint::open(GetParam().path);
    graph_ = build_graph(load_model_config(GetParam().path), checkpoint_, DType::float32);
  }

  /// A part's numbers, -0 as +0.
  std::vector<float> part_numbers(const WeightPart& part) const {
    std::vector<float> numbers(static_cast<std::size_t>(part.shape[0] * part.shape[1]));
    auto* bytes = reinterpret_cast<std::byte*>(numbers.data());
    if (part.quantized) {
      DequantizingReader(*part.quantized).read(0, part.shape[0], DType::float32, bytes);
    } else {
      const WeightSpec spec{"part", WeightUse::matrix, part.shape[0], part.shape[1], {part}};
      numbers = load(spec, {.stored = DType::float32});
    }
    for (float& number : numbers) number += 0.0f;
    return numbers;
  }

  /// A weight's numbers, loaded in that format.
  std::vector<float> load(const WeightSpec& spec, const WeightFormat& format) const {
    std::vector<std::byte> bytes(storage_bytes(format, spec.shape()));
    NumberWarnings warnings;
    const Weight weight =
        load_weight(checkpoint_, spec, format, warnings, [&](const WeightSource& source) {
          for (const ComponentPlace& place : component_places(format, spec.shape())) {
            source.reader(place.component)(0, place.rows, bytes.data() + place.offset);
          }
          return row_major_weight(format, spec.shape(), bytes.data(), Device{});
        });
    std::vector<float> numbers(static_cast<std::size_t>(spec.out_features * spec.in_features));
    for (std::int64_t row = 0; row < spec.out_features; ++row) {
      dequantize_row(weight, row,
                     std::span(numbers).subspan(static_cast<std::size_t>(row * spec.in_features),
                                                static_cast<std::size_t>(spec.in_features)));
    }
    return numbers;
  }

  Checkpoint checkpoint_;
  Graph graph_;
};

TEST_P(QuantizedFolderTest, DequantizedMatricesHaveTheExpectedBits) {
  const auto expected = testing::read_expected(GetParam())["dequantised_sha256"];
  std::map<std::string, std::string> hashes;
  for (const WeightSpec& spec : graph_.weights) {
    for (const WeightPart& part : spec.parts) {
      const std::string module = part.name.substr(0, part.name.rfind(".weight"));
      if (!expected.contains(module)) continue;
      const std::vector<float> numbers = part_numbers(part);
      hashes[module] = testing::sha256(std::as_bytes(std::span(numbers)));
    }
  }
  EXPECT_EQ(hashes.size(), expected.size());
  for (const auto& [module, hash] : hashes)
    EXPECT_EQ(hash, expected[module].get<std::string>()) << module;
}

TEST_P(QuantizedFolderTest, JoinedWeightsHaveTheNumbersOfTheirParts) {
  for (const WeightSpec& spec : graph_.weights) {
    if (spec.use != WeightUse::matrix) continue;
    const WeightFormat format = stored_format(spec, checkpoint_, DType::float32);
    SCOPED_TRACE(spec.name + ": " + format_name(format));
    std::vector<float> expected;
    for (const WeightPart& part : spec.parts) {
      const std::vector<float> numbers = part_numbers(part);
      expected.insert(expected.end(), numbers.begin(), numbers.end());
    }
    std::vector<float> numbers = load(spec, format);
    for (float& number : numbers) number += 0.0f;
    EXPECT_EQ(std::memcmp(numbers.data(), expected.data(), numbers.size() * sizeof(float)), 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Folders, QuantizedFolderTest,
                         ::testing::ValuesIn(testing::quantized_folders()),
                         [](const auto& test) { return testing::folder_test_name(test.param); });

}  // namespace
}  // namespace quern
