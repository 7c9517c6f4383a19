// Real tokenizers on the cases and the counts that come with them.
#include <gtest/gtest.h>

#include <filesystem>
#include <sstream>
#include <string>
#include <vector>

#include "quern/tokenizer.h"
#include "tests/support/expect_error.h"
#include "tests/tokenizer/folders.h"

namespace quern::testing {
namespace {

struct Link {
  const char* name;
  const char* target;  // in the shared tokenizers folder
};

struct Family {
  const char* name;
  const char* cases;
  std::vector<Link> files;
  const char* config_json;
  std::size_t wiki_tokens;
};

std::ostream& operator<<(std::ostream& out, const Family& family) { return out << family.name; }

class RealTokenizer : public ::testing::TestWithParam<Family> {
 protected:
  void SetUp() override {
    for (const Link& file : GetParam().files) {
      const auto target = shared_path("tokenizers") / file.target;
      QUERN_SKIP_WITHOUT(target);
      folder_.link(file.name, target);
    }
    folder_.write("config.json", GetParam().config_json);
    tokenizer_ = Tokenizer::load(folder_.path());
  }

  ModelFolder folder_;
  std::unique_ptr<Tokenizer> tokenizer_;
};

std::vector<std::string> split(const std::string& text, const std::string& separator) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  for (std::size_t end = 0; (end = text.find(separator, begin)) != text.npos;) {
    parts.push_back(text.substr(begin, end - begin));
    begin = end + separator.size();
  }
  parts.push_back(text.substr(begin));
  return parts;
}

TEST_P(RealTokenizer, GivesTheIdsOfAllCases) {
  const auto base = shared_path("tokenizers/cases") / GetParam().cases;
  QUERN_SKIP_WITHOUT(base.string() + ".inp");
  const auto inputs = split(read_file(base.string() + ".inp"), "\n__ggml_vocab_test__\n");
  const auto outputs = split(read_file(base.string() + ".out"), "\n");
  ASSERT_EQ(inputs.size(), 47u);
  ASSERT_GE(outputs.size(), inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    std::istringstream line(outputs[i]);
    const std::vector<std::int32_t> expected{std::istream_iterator<std::int32_t>(line), {}};
    const auto ids = tokenizer_->encode(inputs[i], {.add_bos = false});
    EXPECT_EQ(ids, expected) << inputs[i];
    if (!std::string_view(GetParam().name).starts_with("qwen")) {  // NFC changes some texts
      EXPECT_EQ(tokenizer_->decode(ids, false), inputs[i]);
    }
  }
}

TEST_P(RealTokenizer, GivesTheNumberOfTokensOfAWholeFile) {
  const auto path = shared_path("corpora/wiki.test.raw");
  QUERN_SKIP_WITHOUT(path);
  const std::string text = read_file(path);
  const auto ids = tokenizer_->encode(text, {.add_bos = false});
  EXPECT_EQ(ids.size(), GetParam().wiki_tokens);
  EXPECT_EQ(tokenizer_->decode(ids, true), text);
}

// LLaMA's count is the SentencePiece library's own, on the text as one piece.
INSTANTIATE_TEST_SUITE_P(
    Families, RealTokenizer,
    ::testing::Values(
        Family{"gpt2_json", "gpt-2", {{"tokenizer.json", "gpt2/tokenizer.json"}}, "{}", 286221},
        Family{"gpt2_vocab",
               "gpt-2",
               {{"vocab.json", "gpt2/vocab.json"}, {"merges.txt", "gpt2/merges.txt"}},
               R"({"model_type": "gpt2"})",
               286221},
        Family{
            "llama2", "llama-spm", {{"tokenizer.model", "llama2/tokenizer.model"}}, "{}", 335687},
        Family{"llama3",
               "llama-bpe",
               {{"tokenizer.json", "llama3/tokenizer.llama-3.1.json"}},
               "{}",
               289076},
        Family{"qwen1", "qwen2", {{"qwen.tiktoken", "qwen1/qwen.tiktoken"}}, "{}", 299078},
        Family{"qwen2_json",
               "qwen2",
               {{"tokenizer.json", "qwen2/tokenizer.reconstructed.json"}},
               "{}",
               299078},
        Family{"qwen2_vocab",
               "qwen2",
               {{"vocab.json", "qwen2/vocab.json"}, {"merges.txt", "qwen2/merges.txt"}},
               R"({"model_type": "qwen2"})",
               299078}),
    [](const auto& family) { return std::string(family.param.name); });

TEST(RealTokenizer, Llama3PutsItsBosInFront) {
  const auto target = shared_path("tokenizers/llama3/tokenizer.llama-3.1.json");
  QUERN_SKIP_WITHOUT(target);
  const ModelFolder folder;
  folder.link("tokenizer.json", target);
  const auto tokenizer = Tokenizer::load(folder.path());
  EXPECT_EQ(tokenizer->bos_id(), 128000);
  EXPECT_EQ(tokenizer->encode("Hi"), (std::vector<std::int32_t>{128000, 13347}));
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("Hi"), false), "<|begin_of_text|>Hi");
  EXPECT_EQ(tokenizer->encode("<|eot_id|>", {.add_bos = false}), std::vector<std::int32_t>{128009});
}

// Either file gives the same ids; with both, tokenizer.json counts, as with transformers.
TEST(RealTokenizer, ReadsLlama2sFilesAlike) {
  const auto shared = shared_path("tokenizers/llama2");
  QUERN_SKIP_WITHOUT(shared / "tokenizer.model");
  const ModelFolder folder;
  folder.link("tokenizer.model", shared / "tokenizer.model");
  const std::vector<std::int32_t> ids = {15043, 3186};
  EXPECT_EQ(Tokenizer::load(folder.path())->encode("Hello world", {.add_bos = false}), ids);
  EXPECT_EQ(Tokenizer::load(folder.path())->description(), "SentencePiece (tokenizer.model)");
  folder.link("tokenizer.json", shared / "tokenizer.json");
  EXPECT_EQ(Tokenizer::load(folder.path())->encode("Hello world", {.add_bos = false}), ids);
  EXPECT_EQ(Tokenizer::load(folder.path())->description(), "BPE (tokenizer.json)");
}

TEST(RealTokenizer, ReadsLlama3sTiktokenFile) {
  const auto target = shared_path("tokenizers/llama3/tokenizer.model");
  QUERN_SKIP_WITHOUT(target);
  const ModelFolder folder;
  folder.link("tokenizer.model", target);
  EXPECT_EQ(Tokenizer::load(folder.path())->encode("Hi"), std::vector<std::int32_t>{13347});
}

}  // namespace
}  // namespace quern::testing
