// What Hugging Face's tokenizers and transformers make of random texts, with small tokenizers of
// every part. make_references.py writes the file.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "base/text/utf8.h"
#include "quern/tokenizer.h"
#include "tests/tokenizer/folders.h"
#include "tokenizer/base64.h"
#include "tokenizer/detokenizer.h"

namespace quern::testing {
namespace {

using Ids = std::vector<std::int32_t>;
using Json = nlohmann::json;

Json byte_tokens() {
  Json vocab = Json::object();
  for (int byte = 0; byte < 256; ++byte) {
    constexpr const char* kDigits = "0123456789ABCDEF";
    vocab[std::string("<0x") + kDigits[byte / 16] + kDigits[byte % 16] + ">"] = byte;
  }
  return vocab;
}

void write_case(const Json& reference, const ModelFolder& folder) {
  if (reference.contains("tokenizer.json")) {
    Json file = reference["tokenizer.json"];
    if (file["model"]["vocab"] == "bytes") file["model"]["vocab"] = byte_tokens();
    folder.write("tokenizer.json", file.dump());
  } else {
    folder.write("tokenizer.model",
                 decode_base64(reference["tokenizer.model"].get<std::string>()).value());
    folder.write("tokenizer_config.json", reference["config"].dump());
    folder.write("config.json", R"({"model_type": "llama"})");
  }
}

std::string stream(const Tokenizer& tokenizer, const Ids& ids) {
  Detokenizer detokenizer(tokenizer, true);
  std::string text;
  for (const std::int32_t id : ids) text += detokenizer.add(id);
  return text += detokenizer.finish();
}

TEST(TokenizerReference, GivesTheIdsAndTextsOfThePythonPackages) {
  const Json file = Json::parse(
      read_file(std::filesystem::path(QUERN_SOURCE_DIR) / "tests/tokenizer/data/references.json"));
  ASSERT_GT(file["cases"].size(), 150u);
  for (const Json& reference : file["cases"]) {
    SCOPED_TRACE(reference["name"].get<std::string>());
    const ModelFolder folder;
    write_case(reference, folder);
    const auto tokenizer = Tokenizer::load(folder.path());
    // See Detokenizer for the decoders that cannot be streamed exactly.
    const std::string name = reference["name"];
    const bool streams = name != "decoder Strip" && name != "decoder Replace pattern" &&
                         name != "decoder Metaspace" && name != "decoder Metaspace never" &&
                         name != "decoder BPEDecoder";
    for (std::size_t i = 0; i < reference["texts"].size(); ++i) {
      const auto text = reference["texts"][i].get<std::string>();
      SCOPED_TRACE(text);
      const Ids ids = tokenizer->encode(text);
      EXPECT_EQ(ids, reference["ids"][i].get<Ids>());
      EXPECT_EQ(tokenizer->decode(ids, false), reference["decoded"][i].get<std::string>());
      const std::string without_special = tokenizer->decode(ids, true);
      EXPECT_EQ(without_special, reference["decoded_without_special"][i].get<std::string>());
      if (streams) {
        EXPECT_EQ(stream(*tokenizer, ids), without_special);
      }
    }
  }
}

}  // namespace
}  // namespace quern::testing
