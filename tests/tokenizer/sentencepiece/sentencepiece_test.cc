#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "quern/tokenizer.h"
#include "tests/support/expect_error.h"
#include "tests/tokenizer/folders.h"

namespace quern::testing {
namespace {

using Ids = std::vector<std::int32_t>;

/// tale-llama's tokenizer.model with LLaMA's class, BOS and these settings.
std::unique_ptr<Tokenizer> llama_with(const std::string& tokenizer_config) {
  const ModelFolder folder;
  folder.link("tokenizer.model", demo_model("tale-llama") / "tokenizer.model");
  nlohmann::json config = {{"tokenizer_class", "LlamaTokenizer"}, {"add_bos_token", true}};
  if (!tokenizer_config.empty()) config.update(nlohmann::json::parse(tokenizer_config));
  folder.write("tokenizer_config.json", config.dump());
  return Tokenizer::load(folder.path());
}

// Ids 261 "▁a", 271 "▁b", 1989 "a", 2003 "c", 279 "▁c", 1986 "▁".
TEST(SentencePiece, PutsASpaceAtTheStartAlone) {
  const auto tokenizer = llama_with("");
  EXPECT_EQ(tokenizer->encode("a<s> b</s>c"), (Ids{1, 261, 1, 271, 2, 2003}));
  EXPECT_EQ(tokenizer->encode("<unk>a"), (Ids{1, 0, 1989}));
  EXPECT_EQ(tokenizer->encode(" a"), (Ids{1, 261}));  // no second space: as transformers 5
  EXPECT_EQ(tokenizer->decode(Ids{1, 261, 1, 271}, false), "<s> a<s> b");
  EXPECT_EQ(tokenizer->decode(Ids{1, 261, 1, 271}, true), "a b");
}

TEST(SentencePiece, PutsASpaceBehindSpecialTokensInLegacyMode) {
  const auto tokenizer = llama_with(R"({"legacy": true})");
  EXPECT_EQ(tokenizer->encode("a<s> b</s>c"), (Ids{1, 261, 1, 271, 2, 279}));
  EXPECT_EQ(tokenizer->encode("<unk>a"), (Ids{1, 0, 261}));
}

TEST(SentencePiece, PutsNoSpaceWhenTold) {
  const auto tokenizer = llama_with(R"({"add_prefix_space": false})");
  EXPECT_EQ(tokenizer->encode("a"), (Ids{1, 1989}));
  EXPECT_EQ(tokenizer->decode(Ids{261}, false), " a");
}

TEST(SentencePiece, AddsBosAndEosAsTheConfigSays) {
  EXPECT_EQ(llama_with("")->encode("a"), (Ids{1, 261}));
  EXPECT_EQ(llama_with(R"({"add_bos_token": false})")->encode("a"), Ids{261});
  EXPECT_EQ(llama_with(R"({"add_eos_token": true})")->encode("a"), (Ids{1, 261, 2}));
  EXPECT_EQ(llama_with(R"({"bos_token": {"content": "</s>"}})")->encode("a"), (Ids{2, 261}));
}

TEST(SentencePiece, TakesAddedTokensBeyondTheModel) {
  const ModelFolder folder;
  folder.link("tokenizer.model", demo_model("tale-llama") / "tokenizer.model");
  folder.write("added_tokens.json", R"({"[PAD]": 2050})");
  const auto tokenizer = Tokenizer::load(folder.path());
  // Without a class or a setting no BOS, and the space in front in any case.
  EXPECT_EQ(tokenizer->encode("a[PAD] b"), (Ids{261, 2048, 1986, 271}));
  EXPECT_EQ(tokenizer->token_bytes(2049), "");  // no token has it
}

TEST(SentencePiece, CutsLongTextsWithoutATrace) {
  const auto tokenizer = llama_with("");
  const std::string sentence =
      "The king's  daughters went home;\n\n 3 of them,  \u4e2d\u6587 too. ";
  const Ids once = tokenizer->encode("<s>" + sentence + sentence, {.add_bos = false});
  const Ids twice = tokenizer->encode("<s>" + sentence + sentence + sentence, {.add_bos = false});
  const auto period = static_cast<std::ptrdiff_t>(twice.size() - once.size());
  std::string text = "<s>";
  for (int i = 0; i < 200; ++i) text += sentence;
  const Ids ids = tokenizer->encode(text, {.add_bos = false});
  EXPECT_EQ(ids.size(), once.size() + 198 * static_cast<std::size_t>(period));
  EXPECT_EQ(tokenizer->decode(ids, false), text);
}

TEST(SentencePiece, RefusesATruncatedModelAtAnyLength) {
  const std::string bytes = read_file(demo_model("tale-llama") / "tokenizer.model");
  const ModelFolder folder;
  for (std::size_t size = 0; size < bytes.size();
       size += size < 100 || size + 600 > bytes.size() ? 1 : 997) {
    folder.write("tokenizer.model", bytes.substr(0, size));
    EXPECT_QUERN_ERROR(ErrorCode::bad_file,
                       ({"tokenizer.model", "not a whole SentencePiece model"}),
                       Tokenizer::load(folder.path()));
  }
}

TEST(SentencePiece, RefusesOtherFiles) {
  const ModelFolder folder;
  folder.write("tokenizer.model", "version https://git-lfs.github.com/spec/v1\noid sha256:00\n");
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"tokenizer.model"}), Tokenizer::load(folder.path()));
  folder.write("tokenizer.model", "IQ== 0\nIg== 1\n");  // Llama 3's: "!" and '"'
  EXPECT_EQ(Tokenizer::load(folder.path())->encode("\"!"), (Ids{1, 0}));
  // A piece, trainer_spec {model_type: WORD} and an empty normalizer_spec.
  folder.write("tokenizer.model", std::string("\x0a\x03\x0a\x01"
                                              "a\x12\x02\x18\x03\x1a\x00",
                                              11));
  EXPECT_QUERN_ERROR(ErrorCode::unsupported, ({"tokenizer.model", "model_type 3"}),
                     Tokenizer::load(folder.path()));
  // The same as BPE: no unknown token.
  folder.write("tokenizer.model", std::string("\x0a\x03\x0a\x01"
                                              "a\x12\x02\x18\x02\x1a\x00",
                                              11));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"tokenizer.model", "0 unknown pieces"}),
                     Tokenizer::load(folder.path()));
}

}  // namespace
}  // namespace quern::testing
