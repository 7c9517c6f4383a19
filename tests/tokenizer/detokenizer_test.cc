#include "tokenizer/detokenizer.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "base/text/utf8.h"
#include "tests/support/expect_error.h"
#include "tests/tokenizer/folders.h"

namespace quern::testing {
namespace {

constexpr const char* kReplacement = "\uFFFD";

/// Byte b is id b; <|end|> is 259.
std::unique_ptr<Tokenizer> byte_tokenizer() {
  const ModelFolder folder({{"tokenizer.json", small_tokenizer_json().dump()}});
  return Tokenizer::load(folder.path());
}

std::vector<std::string> pieces(const Tokenizer& tokenizer, std::string_view bytes,
                                bool skip_special = false) {
  Detokenizer detokenizer(tokenizer, skip_special);
  std::vector<std::string> texts;
  texts.reserve(bytes.size() + 1);
  for (const char byte : bytes) texts.push_back(detokenizer.add(static_cast<unsigned char>(byte)));
  texts.push_back(detokenizer.finish());
  return texts;
}

using Texts = std::vector<std::string>;

TEST(Detokenizer, WaitsForTheWholeCharacter) {
  const auto tokenizer = byte_tokenizer();
  EXPECT_EQ(pieces(*tokenizer, "a\u00e9"), (Texts{"a", "", "\u00e9", ""}));
  EXPECT_EQ(pieces(*tokenizer, "\u4e2d"), (Texts{"", "", "\u4e2d", ""}));
  EXPECT_EQ(pieces(*tokenizer, "\U0001F600!"), (Texts{"", "", "", "\U0001F600", "!", ""}));
}

TEST(Detokenizer, ReplacesBrokenBytesOnceTheyAreKnownToBe) {
  const auto tokenizer = byte_tokenizer();
  EXPECT_EQ(pieces(*tokenizer, "\xff"), (Texts{kReplacement, ""}));
  EXPECT_EQ(pieces(*tokenizer, "\xf0\x9f\x98x"),
            (Texts{"", "", "", std::string(kReplacement) + "x", ""}));
  EXPECT_EQ(pieces(*tokenizer, "\xf0\x9f\x98"), (Texts{"", "", "", kReplacement}));
  EXPECT_EQ(pieces(*tokenizer, "\xe4\xe4\xb8\xad"), (Texts{"", kReplacement, "", "\u4e2d", ""}));
}

TEST(Detokenizer, SpecialTokensInterruptNoCharacterWhenSkipped) {
  const auto tokenizer = byte_tokenizer();
  for (const bool skip_special : {false, true}) {
    Detokenizer detokenizer(*tokenizer, skip_special);
    EXPECT_EQ(detokenizer.add(0xC3), "");
    EXPECT_EQ(detokenizer.add(259), skip_special ? "" : std::string(kReplacement) + "<|end|>");
    EXPECT_EQ(detokenizer.add(0xA9), skip_special ? "\u00e9" : kReplacement);
    EXPECT_EQ(detokenizer.finish(), "");
  }
}

TEST(Detokenizer, IdsBeyondTheVocabularyGiveNothing) {
  const auto tokenizer = byte_tokenizer();
  Detokenizer detokenizer(*tokenizer, false);
  EXPECT_EQ(detokenizer.add(100'000), "");
  EXPECT_EQ(detokenizer.add('a'), "a");
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"-5"}), detokenizer.add(-5));
}

TEST(Detokenizer, DropsSentencePiecesSpaceAtTheStartOnly) {
  const auto tokenizer = Tokenizer::load(demo_model("tale-llama"));
  const auto ids = tokenizer->encode("the king", {.add_bos = false});
  Detokenizer text(*tokenizer, true);
  Detokenizer continuation(*tokenizer, true, Detokenizer::Start::continuation);
  std::string from_start;
  std::string going_on;
  for (const std::int32_t id : ids) {
    from_start += text.add(id);
    going_on += continuation.add(id);
  }
  EXPECT_EQ(from_start, "the king");
  EXPECT_EQ(going_on, " the king");
}

/// Unigram cleans up spaces on request. Each character is a token; id 0 is <unk>.
std::unique_ptr<Tokenizer> cleaning_tokenizer(std::string_view characters) {
  using Json = nlohmann::json;
  Json vocab = Json::array({Json::array({"<unk>", 0.0})});
  for (const char c : characters) vocab.push_back(Json::array({std::string(1, c), -1.0}));
  const nlohmann::json file = {{"decoder", {{"type", "Fuse"}}},
                               {"model", {{"type", "Unigram"}, {"unk_id", 0}, {"vocab", vocab}}}};
  const ModelFolder folder(
      {{"tokenizer.json", file.dump()},
       {"tokenizer_config.json", R"({"clean_up_tokenization_spaces": true})"}});
  return Tokenizer::load(folder.path());
}

TEST(Detokenizer, HoldsBackSpacesThatMayBeCleanedUp) {
  const auto tokenizer = cleaning_tokenizer(" .a");
  Detokenizer detokenizer(*tokenizer, false);
  EXPECT_EQ(detokenizer.add(3), "a");
  EXPECT_EQ(detokenizer.add(1), "");
  EXPECT_EQ(detokenizer.add(2), ".");
  EXPECT_EQ(detokenizer.add(1), "");
  EXPECT_EQ(detokenizer.add(3), " a");
  EXPECT_EQ(detokenizer.add(1), "");
  EXPECT_EQ(detokenizer.finish(), " ");
}

TEST(Detokenizer, CleansUpSpacesAsTheWholeTextDoes) {
  const auto tokenizer = cleaning_tokenizer(" '.?!,nmstvrex");
  ASSERT_TRUE(tokenizer->cleans_up_spaces());
  // What clean_up_tokenization of transformers 5.24 gives.
  const auto ids = tokenizer->encode("  . ' x ' '  ,n 't n't 're 'r 's 've?!  ' 'm");
  EXPECT_EQ(tokenizer->decode(ids, false), " .'x'' ,n 'tn't're 'r's've?! ''m");
  std::mt19937 random(1);
  std::uniform_int_distribution<std::int32_t> any_id(1, tokenizer->vocab_size() - 1);
  for (int round = 0; round < 2000; ++round) {
    std::vector<std::int32_t> some(24);
    for (auto& id : some) id = any_id(random);
    Detokenizer detokenizer(*tokenizer, false);
    std::string text;
    for (const std::int32_t id : some) text += detokenizer.add(id);
    text += detokenizer.finish();
    ASSERT_EQ(text, tokenizer->decode(some, false));
  }
}

TEST(Detokenizer, JoinsToTheDecodedTextForAnyIds) {
  std::mt19937 random(1);
  for (const char* model : {"tale-gpt2", "tale-llama", "tale-qwen", "tale-qwen2"}) {
    const auto tokenizer = Tokenizer::load(demo_model(model));
    std::uniform_int_distribution<std::int32_t> any_id(0, tokenizer->vocab_size() - 1);
    std::uniform_int_distribution<std::int32_t> low_id(0, 260);  // the single bytes
    for (int round = 0; round < 300; ++round) {
      std::vector<std::int32_t> ids(20);
      for (std::size_t i = 0; i < ids.size(); ++i) {
        ids[i] = i % 2 == 0 ? any_id(random) : low_id(random);
      }
      for (const bool skip_special : {false, true}) {
        Detokenizer detokenizer(*tokenizer, skip_special);
        std::string text;
        for (const std::int32_t id : ids) {
          const std::string piece = detokenizer.add(id);
          ASSERT_EQ(invalid_utf8_at(piece), std::nullopt);
          text += piece;
        }
        text += detokenizer.finish();
        ASSERT_EQ(text, tokenizer->decode(ids, skip_special)) << model;
      }
    }
  }
}

}  // namespace
}  // namespace quern::testing
