// Thousands of corrupted files: whatever a byte becomes, only quern::Error may be thrown.

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "base/error.h"
#include "io/json/json.h"
#include "quern/safetensors.h"
#include "tests/support/test_files.h"

namespace quern {
namespace {

using testing::make_safetensors;
using testing::TempFolder;
using testing::write_file;

/// Mutates a few places of a text: bytes and digits replaced, pieces removed, duplicated or cut
/// off.
class Mutator {
 public:
  explicit Mutator(unsigned seed) : generator_(seed) {}

  std::string operator()(std::string text) {
    for (std::size_t change = 0, count = 1 + below(3); change < count && !text.empty(); ++change) {
      const std::size_t place = below(text.size());
      const std::size_t length = 1 + below(std::min<std::size_t>(8, text.size() - place));
      switch (below(6)) {
        case 0:
          text[place] = static_cast<char>(below(256));
          break;
        case 1:
          text[place] = "0123456789-{}[],:\"eE.\\"[below(22)];
          break;
        case 2:
          text.erase(place, length);
          break;
        case 3:
          text.insert(place, text.substr(below(text.size()), length));
          break;
        case 4:
          text.resize(place);
          break;
        default:
          text.insert(place, std::string(length, '9'));
      }
    }
    return text;
  }

 private:
  std::size_t below(std::size_t limit) { return generator_() % limit; }

  std::mt19937 generator_;
};

/// True when `statement` passes, false when it throws a quern::Error; anything else fails the test.
template <typename Statement>
bool passes(const Statement& statement) {
  try {
    statement();
    return true;
  } catch (const Error& error) {
    EXPECT_NE(error.code(), ErrorCode::internal) << error.what();
    EXPECT_LT(std::string_view(error.what()).size(), 1000u);
    return false;
  }
}

TEST(Mutation, SafetensorsFiles) {
  const TempFolder folder;
  const std::string valid = make_safetensors({{"wte.weight", "F16", {3, 2}, "abcdefghijkl"},
                                              {"none", "I64", {0}, ""},
                                              {"ln_f.bias", "F32", {2}, "01234567"}});
  Mutator mutate(1);
  int refused = 0;
  constexpr int kFiles = 5000;
  for (int i = 0; i < kFiles; ++i) {
    const auto path = write_file(folder / "model.safetensors", mutate(valid));
    const bool read = passes([&] {
      const auto file = SafetensorsFile::open(path);
      std::size_t sum = 0;
      for (const auto& entry : file.entries()) {
        for (const std::byte byte : file.read(entry)) sum += std::to_integer<std::size_t>(byte);
      }
      EXPECT_LE(sum, 255u * 20u);
    });
    refused += read ? 0 : 1;
  }
  EXPECT_GT(refused, kFiles / 2);
  EXPECT_LT(refused, kFiles) << "changed data alone is no error";
}

TEST(Mutation, JsonDocuments) {
  const std::string valid =
      R"({"model_type": "llama", "rope_scaling": {"factor": 8.0, "type": "llama3"},)"
      R"( "eos_token_id": 2, "ids": [1, 2], "tie": false, "name": "caf\u00e9 é", "none": null})";
  Mutator mutate(2);
  int refused = 0;
  constexpr int kDocuments = 20'000;
  for (int i = 0; i < kDocuments; ++i) {
    const std::string text = mutate(valid);
    const bool read = passes([&] {
      const Json json = parse_json(text, "config.json");
      const JsonObject object(json, "config.json");
      object.string("model_type");
      object.integer("eos_token_id", 0, 9);
    });
    refused += read ? 0 : 1;
  }
  EXPECT_GT(refused, kDocuments / 4);
  EXPECT_LT(refused, kDocuments);
}

}  // namespace
}  // namespace quern
