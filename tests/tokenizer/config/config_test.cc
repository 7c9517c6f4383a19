// What tokenizer_config.json, special_tokens_map.json and added_tokens.json change, and which files
// are chosen.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "quern/tokenizer.h"
#include "tests/support/expect_error.h"
#include "tests/tokenizer/folders.h"

namespace quern::testing {
namespace {

using Ids = std::vector<std::int32_t>;

class TokenizerConfigTest : public ::testing::Test {
 protected:
  TokenizerConfigTest() { folder_.write("tokenizer.json", small_tokenizer_json().dump()); }

  std::unique_ptr<Tokenizer> load(const std::string& tokenizer_config) const {
    folder_.write("tokenizer_config.json", tokenizer_config);
    return Tokenizer::load(folder_.path());
  }
  void expect_refused(const std::string& tokenizer_config,
                      std::initializer_list<std::string_view> parts) const {
    expect_error(ErrorCode::bad_file, parts, [&] { load(tokenizer_config); });
  }

  ModelFolder folder_;
};

TEST_F(TokenizerConfigTest, NamesBosAndEos) {
  EXPECT_EQ(Tokenizer::load(folder_.path())->eos_ids(), Ids{});
  const auto tokenizer = load(R"({"bos_token": {"content": "<|end|>"}, "eos_token": "abc"})");
  EXPECT_EQ(tokenizer->bos_id(), 259);
  EXPECT_EQ(tokenizer->eos_ids(), Ids{258});
  EXPECT_TRUE(
      tokenizer->is_special(258));  // named for a purpose: found in text before anything else
  EXPECT_EQ(tokenizer->encode("xabcx"), (Ids{'x', 258, 'x'}));
}

// As transformers 5: what tokenizer.json's post-processor does not say is not done.
TEST_F(TokenizerConfigTest, LeavesBosToTokenizerJson) {
  EXPECT_EQ(load(R"({"add_bos_token": true, "bos_token": "<|end|>"})")->encode("x"), Ids{'x'});
  EXPECT_EQ(load(R"({"add_eos_token": true, "eos_token": "<|end|>"})")->encode("x"), Ids{'x'});
}

TEST_F(TokenizerConfigTest, AddsTokens) {
  const auto tokenizer = load(R"({"added_tokens_decoder": {
    "260": {"content": "<tool>", "special": false},
    "259": {"content": "<|end|>", "special": true, "rstrip": true},
    "270": {"content": "<far>", "special": true}}})");
  EXPECT_EQ(tokenizer->encode("<tool><|end|>  x<far>"), (Ids{260, 259, 'x', 261}));
  EXPECT_EQ(tokenizer->encode("<tool><|end|>", {.parse_special = false}).front(), 260);
  EXPECT_EQ(tokenizer->vocab_size(), 262);
  EXPECT_EQ(tokenizer->decode(Ids{260, 265, 261}, true), "<tool>");
}

TEST_F(TokenizerConfigTest, CleansUpSpacesOfBpeOnlyWhereAskedTwice) {
  const Ids ids = {'a', ' ', '.'};
  EXPECT_EQ(load("{}")->decode(ids, true), "a .");
  EXPECT_EQ(load(R"({"clean_up_tokenization_spaces": true})")->decode(ids, true), "a .");
  constexpr const char* kAskedTwice = R"({"clean_up_tokenization_spaces": true,
    "clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output": true})";
  EXPECT_EQ(load(kAskedTwice)->decode(ids, true), "a.");
}

TEST_F(TokenizerConfigTest, ReadsTheOlderFiles) {
  folder_.write("special_tokens_map.json",
                R"({"eos_token": {"content": "<|end|>"}, "additional_special_tokens": ["<a>"]})");
  folder_.write("added_tokens.json", R"({"<a>": 260, "<b>": 261})");
  const auto tokenizer = Tokenizer::load(folder_.path());
  EXPECT_EQ(tokenizer->eos_ids(), Ids{259});
  EXPECT_TRUE(tokenizer->is_special(260));
  EXPECT_FALSE(tokenizer->is_special(261));
  EXPECT_EQ(tokenizer->encode("<b><a>"), (Ids{261, 260}));
}

TEST_F(TokenizerConfigTest, RefusesContradictionsAndWrongTypes) {
  EXPECT_EQ(load(R"({"eos_token": "<gone>"})")->eos_ids(), Ids{260});  // a new token
  expect_refused(R"({"eos_token": 7})", {"tokenizer_config.json", "eos_token", "a token", "7"});
  expect_refused(R"({"bos_token": {"contents": "x"}})", {"bos_token.content"});
  expect_refused(R"({"add_bos_token": "yes"})", {"add_bos_token", "true or false"});
  expect_refused(R"({"added_tokens_decoder": {"x": {"content": "<x>"}}})",
                 {"added_tokens_decoder", "'x'"});
  expect_refused(R"({"additional_special_tokens": 3})", {"additional_special_tokens", "a list"});
  expect_refused(R"({"additional_special_tokens": [3]})", {"additional_special_tokens"});
  folder_.write("added_tokens.json", R"({"<x>": -3})");
  expect_refused("{}", {"added_tokens.json", "'<x>'", "-3"});
}

TEST_F(TokenizerConfigTest, PrefersTokenizerJsonButForTheFirstQwen) {
  folder_.link("qwen.tiktoken", demo_model("tale-qwen") / "qwen.tiktoken");
  EXPECT_EQ(Tokenizer::load(folder_.path())->vocab_size(), 260);
  EXPECT_EQ(load(R"({"tokenizer_class": "QWenTokenizer"})")->description(),
            "byte-level BPE (qwen.tiktoken)");
}

TEST(TokenizerChoice, SaysWhatIsMissing) {
  const ModelFolder folder;
  EXPECT_QUERN_ERROR(ErrorCode::not_found, ({"tokenizer.json", "qwen.tiktoken", "merges.txt"}),
                     Tokenizer::load(folder.path()));
  folder.write("vocab.json", "{}");
  EXPECT_QUERN_ERROR(ErrorCode::not_found, ({"merges.txt"}), Tokenizer::load(folder.path()));
  EXPECT_QUERN_ERROR(ErrorCode::not_found, ({"no/such/folder"}), Tokenizer::load("no/such/folder"));
}

}  // namespace
}  // namespace quern::testing
