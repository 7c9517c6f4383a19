#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "quern/tokenizer.h"
#include "tests/support/expect_error.h"
#include "tests/tokenizer/folders.h"

namespace quern::testing {
namespace {

using Ids = std::vector<std::int32_t>;

constexpr const char* kGpt2Config = R"({"model_type": "gpt2"})";
constexpr const char* kMerges = "#version: 0.2\na b\nb c\nab c\n";

/// The bytes, "ab" 256, "bc" 257, "abc" 258, <|endoftext|> 259.
nlohmann::json small_vocab() {
  nlohmann::json vocab = byte_vocab();
  vocab["ab"] = 256;
  vocab["bc"] = 257;
  vocab["abc"] = 258;
  vocab["<|endoftext|>"] = 259;
  return vocab;
}

TEST(VocabAndMerges, ReadsGpt2sFiles) {
  const ModelFolder folder({{"vocab.json", small_vocab().dump()},
                            {"merges.txt", kMerges},
                            {"config.json", kGpt2Config}});
  const auto tokenizer = Tokenizer::load(folder.path());
  EXPECT_EQ(tokenizer->encode("abcab<|endoftext|>"), (Ids{258, 256, 259}));
  EXPECT_EQ(tokenizer->eos_ids(), Ids{259});
  EXPECT_EQ(tokenizer->bos_id(), 259);
}

TEST(VocabAndMerges, TakesMergesWithoutVersionAndWithCarriageReturns) {
  const ModelFolder folder(
      {{"vocab.json", small_vocab().dump()},
       {"merges.txt", "a b\r\nb c\r\nab c"},
       {"tokenizer_config.json", R"({"tokenizer_class": "Qwen2TokenizerFast"})"}});
  const auto tokenizer = Tokenizer::load(folder.path());
  EXPECT_EQ(tokenizer->encode("abc"), Ids{258});
  EXPECT_EQ(tokenizer->encode("e\u0301"), (Ids{0xC3, 0xA9}));  // Qwen2 normalizes
  EXPECT_EQ(tokenizer->bos_id(), std::nullopt);
}

TEST(VocabAndMerges, NeedsToKnowTheClass) {
  const ModelFolder folder({{"vocab.json", small_vocab().dump()}, {"merges.txt", kMerges}});
  EXPECT_QUERN_ERROR(ErrorCode::unsupported, ({"vocab.json", "tokenizer_class", "model_type"}),
                     Tokenizer::load(folder.path()));
  folder.write("config.json", R"({"model_type": "bloom"})");
  EXPECT_QUERN_ERROR(ErrorCode::unsupported, ({"vocab.json", "GPT2Tokenizer"}),
                     Tokenizer::load(folder.path()));
  folder.write("tokenizer_config.json", R"({"tokenizer_class": "RobertaTokenizer"})");
  EXPECT_QUERN_ERROR(ErrorCode::unsupported, ({"RobertaTokenizer", "GPT2Tokenizer"}),
                     Tokenizer::load(folder.path()));
}

TEST(VocabAndMerges, RefusesBrokenMerges) {
  const ModelFolder folder({{"vocab.json", small_vocab().dump()}, {"config.json", kGpt2Config}});
  for (const char* line : {"ab", "a b c", "a \xff"}) {
    folder.write("merges.txt", std::string("a b\n") + line + "\nab c\n");
    EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"merges.txt", "line 2"}),
                       Tokenizer::load(folder.path()));
  }
  folder.write("merges.txt", "#version: 0.2\na b\n\nb c\nab c\n\n");
  EXPECT_EQ(Tokenizer::load(folder.path())->encode("abc"), Ids{258});
  folder.write("merges.txt", "a c\n");
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"merges.txt", "'ac' is not in the vocabulary"}),
                     Tokenizer::load(folder.path()));
}

TEST(VocabAndMerges, RefusesABrokenVocabulary) {
  const ModelFolder folder({{"merges.txt", kMerges}, {"config.json", kGpt2Config}});
  const auto refuse = [&](const std::string& vocab, std::initializer_list<std::string_view> parts) {
    folder.write("vocab.json", vocab);
    expect_error(ErrorCode::bad_file, parts, [&] { Tokenizer::load(folder.path()); });
  };
  nlohmann::json vocab = small_vocab();
  vocab["abc"] = 2'000'000'000;
  refuse(vocab.dump(), {"vocab.json", "'abc' has id 2000000000"});
  vocab["abc"] = "x";
  refuse(vocab.dump(), {"vocab.json", "'abc'", "expected an id"});
  refuse("[1, 2]", {"vocab.json"});
  refuse("{\"a\": 0", {"vocab.json", "JSON"});
  refuse("{}", {"merges.txt", "'a' is not in the vocabulary"});
  refuse("version https://git-lfs.github.com/spec/v1\n", {"vocab.json"});
}

}  // namespace
}  // namespace quern::testing
