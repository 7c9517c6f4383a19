// The demo models' tokenizers against Hugging Face's answers.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "quern/tokenizer.h"
#include "tests/support/expect_error.h"
#include "tests/support/test_files.h"
#include "tests/tokenizer/folders.h"
#include "tokenizer/detokenizer.h"

namespace quern::testing {
namespace {

using Ids = std::vector<std::int32_t>;

struct Demo {
  const char* model;
  const char* golden;
  bool golden_skips_special = false;  // in its texts
};

std::ostream& operator<<(std::ostream& out, const Demo& demo) { return out << demo.model; }

nlohmann::json read_test_json(const std::string& path) {
  return nlohmann::json::parse(read_file(std::filesystem::path(QUERN_SOURCE_DIR) / "tests" / path));
}

std::string streamed(const Tokenizer& tokenizer, const Ids& ids, bool skip_special) {
  Detokenizer detokenizer(tokenizer, skip_special);
  std::string text;
  for (const std::int32_t id : ids) text += detokenizer.add(id);
  return text + detokenizer.finish();
}

class DemoModel : public ::testing::TestWithParam<Demo> {
 protected:
  std::unique_ptr<Tokenizer> tokenizer_ = Tokenizer::load(demo_model(GetParam().model));
};

TEST_P(DemoModel, GivesTheGoldenPromptIdsAndTexts) {
  const auto golden = read_test_json(std::string("golden/") + GetParam().golden + ".golden.json");
  ASSERT_FALSE(golden["cases"].empty());
  for (const auto& golden_case : golden["cases"]) {
    const std::string prompt = golden_case["prompt"];
    Ids ids = tokenizer_->encode(prompt);
    EXPECT_EQ(ids, golden_case["prompt_ids"].get<Ids>());
    for (const std::int32_t id : golden_case["greedy_ids"]) ids.push_back(id);
    EXPECT_EQ(tokenizer_->decode(ids, GetParam().golden_skips_special),
              golden_case["greedy_text"].get<std::string>());
  }
}

// Texts with mixed scripts, white space, control characters and special tokens; the file says what
// gave the expected ids.
TEST_P(DemoModel, GivesTheIdsAndTextsOfTheOracle) {
  const auto cases = read_test_json("tokenizer/data/tale_cases.json")[GetParam().model];
  ASSERT_EQ(cases.size(), 60u);
  for (const auto& oracle : cases) {
    const std::string text = oracle["text"];
    const Ids expected = oracle["ids"];
    const auto ids = tokenizer_->encode(text, {.parse_special = oracle["parse_special"]});
    EXPECT_EQ(ids, expected) << oracle;
    EXPECT_EQ(tokenizer_->decode(expected, false), oracle["decoded"].get<std::string>()) << oracle;
    EXPECT_EQ(streamed(*tokenizer_, expected, false), oracle["decoded"].get<std::string>())
        << oracle;
    EXPECT_EQ(streamed(*tokenizer_, expected, true), tokenizer_->decode(expected, true)) << oracle;
  }
}

TEST_P(DemoModel, RefusesWhatIsNoTextAndNoId) {
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"not UTF-8", "byte 3", "0xff"}),
                     tokenizer_->encode("abc\xff"));
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"not UTF-8", "byte 1", "0xed"}),
                     tokenizer_->encode("a\xed\xa0\x80"));
  EXPECT_EQ(tokenizer_->vocab_size(), 2048);
  // Models round their vocabularies up.
  EXPECT_EQ(tokenizer_->decode(Ids{2048, 100'000}, false), "");
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"-1", "expected 0 to 2047"}),
                     tokenizer_->token_bytes(-1));
}

TEST_P(DemoModel, TakesLongTextsOfOneKind) {
  for (const char* unit : {" ", "a", "\n", "\u4e2d", " \t", "'", "<|", "e\u0301\u0323"}) {
    std::string text = "x";
    while (text.size() < 200'000) text += unit;
    const auto ids = tokenizer_->encode(text);
    EXPECT_GT(ids.size(), 1000u);
  }
}

TEST_P(DemoModel, ServesSeveralThreads) {
  std::string text;
  for (int i = 0; i < 200; ++i) text += "Once upon a time, there's a \u00e9 <|im_end|></s> 12\n";
  const Ids expected = tokenizer_->encode(text);
  std::vector<Ids> ids(4);
  std::vector<std::thread> threads;
  threads.reserve(ids.size());
  for (Ids& mine : ids) threads.emplace_back([&] { mine = tokenizer_->encode(text); });
  for (std::thread& thread : threads) thread.join();
  for (const Ids& mine : ids) EXPECT_EQ(mine, expected);
}

INSTANTIATE_TEST_SUITE_P(All, DemoModel,
                         ::testing::Values(Demo{"tale-gpt2", "gpt2"},
                                           Demo{"tale-llama", "llama", true},
                                           Demo{"tale-qwen", "qwen2"}, Demo{"tale-qwen2", "qwen2"}),
                         [](const auto& demo) {
                           return std::string(demo.param.golden) +
                                  (demo.param.model == std::string("tale-qwen") ? "_tiktoken" : "");
                         });

TEST(DemoModel, KnowsItsSpecialTokens) {
  const auto gpt2 = Tokenizer::load(demo_model("tale-gpt2"));
  EXPECT_EQ(gpt2->description(), "byte-level BPE (vocab.json, merges.txt)");
  EXPECT_EQ(gpt2->bos_id(), 2047);
  EXPECT_EQ(gpt2->eos_ids(), Ids{2047});
  EXPECT_TRUE(gpt2->is_special(2047));
  EXPECT_EQ(gpt2->token_to_id("\u0120lead"), 2036);
  EXPECT_EQ(gpt2->token_bytes(2036), " lead");

  const auto llama = Tokenizer::load(demo_model("tale-llama"));
  EXPECT_EQ(llama->bos_id(), 1);
  EXPECT_EQ(llama->eos_ids(), Ids{2});
  EXPECT_EQ(llama->token_to_id("<unk>"), 0);
  EXPECT_EQ(llama->token_to_id("no such piece"), std::nullopt);
  EXPECT_EQ(llama->token_bytes(13), "\n");

  const auto qwen = Tokenizer::load(demo_model("tale-qwen"));
  EXPECT_EQ(qwen->bos_id(), std::nullopt);
  EXPECT_EQ(qwen->eos_ids(), Ids{1840});
  EXPECT_EQ(qwen->token_to_id("<|extra_204|>"), 2047);
  EXPECT_FALSE(qwen->is_special(1839));

  const auto qwen2 = Tokenizer::load(demo_model("tale-qwen2"));
  EXPECT_EQ(qwen2->bos_id(), std::nullopt);
  EXPECT_EQ(qwen2->eos_ids(), Ids{1842});
  EXPECT_EQ(qwen2->token_bytes(1842), "<|im_end|>");
}

TEST(DemoModel, PutsBosWhereItIsAskedFor) {
  const auto llama = Tokenizer::load(demo_model("tale-llama"));
  EXPECT_EQ(llama->encode(""), Ids{1});
  EXPECT_EQ(llama->encode("", {.add_bos = false}), Ids{});
  EXPECT_EQ(llama->encode("<s>", {.add_bos = true}), (Ids{1, 1}));
  const auto gpt2 = Tokenizer::load(demo_model("tale-gpt2"));
  EXPECT_EQ(gpt2->encode(""), Ids{});
  EXPECT_EQ(gpt2->encode("", {.add_bos = true}), Ids{2047});
  const auto qwen = Tokenizer::load(demo_model("tale-qwen"));
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"add_bos", "no BOS"}),
                     qwen->encode("", {.add_bos = true}));
}

}  // namespace
}  // namespace quern::testing
