// The parts that perplexity and summarize are made of.
#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "tests/support/expect_error.h"
#include "tests/support/test_files.h"
#include "tests/tools/cli/expect_usage_error.h"
#include "tools/input/trimmed_text.h"
#include "tools/quality/checks.h"
#include "tools/quality/data/articles.h"
#include "tools/quality/engine_spec.h"
#include "tools/quality/perplexity/divergence.h"
#include "tools/quality/perplexity/judge.h"
#include "tools/quality/perplexity/windows.h"
#include "tools/quality/summaries/summaries.h"
#include "tools/quality/summaries/summary_options.h"
#include "tools/quality/summaries/summary_prompt.h"

namespace quern::tools {
namespace {

TEST(Windows, JudgeEveryTokenButTheFirstOnce) {
  const auto windows = sliding_windows(10, {4, 2});
  ASSERT_EQ(windows.size(), 4U);
  // begin, end, first judged, worked out by hand from the recipe.
  const std::size_t expected[4][3] = {{0, 4, 1}, {2, 6, 4}, {4, 8, 6}, {6, 10, 8}};
  for (std::size_t i = 0; i < windows.size(); ++i) {
    EXPECT_EQ(windows[i].begin, expected[i][0]);
    EXPECT_EQ(windows[i].end, expected[i][1]);
    EXPECT_EQ(windows[i].first_scored, expected[i][2]);
  }
  for (const std::size_t num_tokens : {2, 5, 9, 11, 64}) {
    EXPECT_EQ(count_scored(sliding_windows(num_tokens, {8, 3})), num_tokens - 1);
  }
  // Side by side, the first of each window has nothing before it.
  EXPECT_EQ(count_scored(sliding_windows(10, {4, 4})), 7U);
  EXPECT_EQ(count_scored(sliding_windows(9, {4, 4})), 6U);
  EXPECT_EQ(sliding_windows(3, {4, 4}).size(), 1U);
}

TEST(DivergenceTest, IsTheDefinition) {
  // p = (3/4, 1/4), q = (1/2, 1/2), whatever is added to the logits.
  const std::vector<float> p = {std::log(3.0F) + 50, 50};
  const std::vector<float> q = {-7, -7};
  const double expected = 0.75 * std::log(1.5) + 0.25 * std::log(0.5);
  // The logits' own rounding: 51 has a unit of 3.8e-6, and p changes by a quarter of it.
  EXPECT_NEAR(divergence(p, q).kl, expected, 2e-6);
  EXPECT_TRUE(divergence(p, q).same_top);
  const Divergence reverse = divergence(q, std::vector<float>{50, std::log(3.0F) + 50});
  EXPECT_NEAR(reverse.kl, 0.5 * std::log(2.0 / 3) + 0.5 * std::log(2.0), 2e-6);
  EXPECT_FALSE(reverse.same_top);
  EXPECT_EQ(divergence(p, p).kl, 0);
  EXPECT_TRUE(std::isnan(divergence(p, std::vector<float>{NAN, 0}).kl));
}

TEST(DivergenceTest, TakesExcludedTokens) {
  const float excluded = -INFINITY;
  const std::vector<float> p = {std::log(3.0F), 0, excluded};
  // p = (3/4, 1/4, 0), q = (1/4, 1/4, 1/2): the third token adds nothing.
  const Divergence found = divergence(p, std::vector<float>{0, 0, std::log(2.0F)});
  EXPECT_NEAR(found.kl, 0.75 * std::log(3.0), 1e-6);
  EXPECT_FALSE(found.same_top);
  EXPECT_NEAR(divergence(p, p).kl, 0, 1e-15);
  EXPECT_TRUE(divergence(p, p).same_top);
  EXPECT_EQ(divergence(std::vector<float>{0, 0, 0}, p).kl, INFINITY);
  // A probability that is 0 in double precision, too.
  EXPECT_NEAR(divergence(std::vector<float>{0, -1000}, std::vector<float>{0, excluded}).kl, 0,
              1e-15);
  EXPECT_TRUE(std::isnan(divergence(p, std::vector<float>{0, 0, NAN}).kl));
  EXPECT_TRUE(std::isnan(divergence(std::vector<float>{0, 0, NAN}, p).kl));
  EXPECT_TRUE(std::isnan(divergence(std::vector<float>{0, INFINITY, 0}, p).kl));
  EXPECT_TRUE(std::isnan(divergence(p, std::vector<float>{INFINITY, 0, 0}).kl));
}

TEST(Checks, HoldUpToTheBoundAndNeverWithoutANumber) {
  EXPECT_TRUE((Check{"a", 1, 1}.holds()));
  EXPECT_FALSE((Check{"a", 1.1, 1}.holds()));
  EXPECT_TRUE((Check{"a", 1.1, 1, true}.holds()));
  EXPECT_FALSE((Check{"a", NAN, 1}.holds()));
  EXPECT_FALSE((Check{"a", NAN, 1, true}.holds()));
  EXPECT_EQ(checks_exit({}), ExitCode::done);
  EXPECT_EQ(checks_exit({{"a", 0, 1}, {"b", 2, 1}}), ExitCode::check_failed);
  EXPECT_EQ(checks_text({{"b", 2, 1}}), "b: 2, at most 1: DOES NOT HOLD\n");
}

TEST(EngineSpec, IsADeviceAndADtype) {
  EngineOptions base;
  base.max_seqs = 3;
  const auto cpu = parse_engine_spec("cpu-float32", base);
  ASSERT_TRUE(cpu);
  EXPECT_EQ(cpu->device, DeviceChoice::cpu);
  EXPECT_EQ(cpu->dtype, DType::float32);
  EXPECT_EQ(cpu->max_seqs, 3);
  const auto cuda = parse_engine_spec("cuda:1-bfloat16", base);
  ASSERT_TRUE(cuda);
  EXPECT_EQ(cuda->device_index, 1);
  EXPECT_EQ(engine_name(*cuda), "cuda:1-bfloat16");
  EngineOptions scaled = base;
  scaled.kv_cache_dtype = KvCacheDType::fp8;
  EXPECT_EQ(parse_engine_spec("cpu-float32", scaled)->kv_cache_dtype, KvCacheDType::automatic);
  const auto int8 = parse_engine_spec("cpu-float16-kv-int8", scaled);
  ASSERT_TRUE(int8);
  EXPECT_EQ(int8->dtype, DType::float16);
  EXPECT_EQ(int8->kv_cache_dtype, KvCacheDType::int8);
  EXPECT_EQ(engine_name(*int8), "cpu-float16-kv-int8");
  EXPECT_FALSE(parse_engine_spec("cpu-float16-kv-int4", base));
  EXPECT_FALSE(parse_engine_spec("cpu-kv-int8", base));
  for (const char* text : {"", "cpu", "float32", "cpu-", "-float32", "gpu-float32", "cpu-int8",
                           "logits.safetensors", "cpu-float32-x"}) {
    EXPECT_FALSE(parse_engine_spec(text, base)) << text;
  }
}

TEST(TrimmedText, TakesPythonsBlanks) {
  EXPECT_EQ(trimmed_text(" \t\n\x1c\xC2\xA0\xE3\x80\x80 a b\xE2\x80\x89\r"), "a b");
  EXPECT_EQ(trimmed_text("\xE2\x80\x8B"), "\xE2\x80\x8B");  // a zero-width space is none
  EXPECT_EQ(trimmed_text(" \n"), "");
  EXPECT_EQ(trimmed_text(""), "");
}

class ArticlesTest : public ::testing::Test {
 protected:
  ArticleSource source(const std::string& name, const std::string& content) {
    ArticleSource source;
    source.file = testing::write_file(folder_ / name, content).string();
    return source;
  }
  testing::TempFolder folder_;
};

TEST_F(ArticlesTest, TakesTheFirstOnesOfEitherFormat) {
  ArticleSource jsonl = source("a.jsonl",
                               "{\"article\": \"one\", \"highlights\": \"1\"}\n"
                               "{\"article\": \"two\", \"highlights\": \"2\"}\nbroken");
  jsonl.max_articles = 2;
  const Articles articles = read_articles(jsonl);
  ASSERT_EQ(articles.good.size(), 2U);
  EXPECT_EQ(articles.good[1].text, "two");
  EXPECT_EQ(articles.good[1].highlights, "2");
  EXPECT_TRUE(articles.good[1].place.ends_with("a.jsonl:2"));

  ArticleSource csv = source("a.csv", "id,text,summary\n1,\"x\ny\",z\n");
  csv.article.name = "text";
  csv.highlights.name = "summary";
  EXPECT_EQ(read_articles(csv).good.front().text, "x\ny");
}

TEST_F(ArticlesTest, NamesBadRecordsOrSkipsAndCountsThem) {
  const std::string good = "{\"article\": \"one\", \"highlights\": \"1\"}\n";
  const std::vector<std::pair<std::string, std::vector<std::string_view>>> bad = {
      {"{\"article\": \"one\"}", {"a.jsonl:2", "'highlights'", "'article'", "--highlights-field"}},
      {"{\"text\": \"one\", \"highlights\": \"1\"}", {"a.jsonl:2", "'article'", "'text'"}},
      {"{\"article\": 7, \"highlights\": \"1\"}", {"a.jsonl:2", "'article'", "a string", "7"}},
      {"{\"article\": \" \\n\", \"highlights\": \"1\"}", {"a.jsonl:2", "'article'", "blanks"}},
      {"{\"article\": \"one\", \"highlights\": \"\"}", {"a.jsonl:2", "'highlights'", "blanks"}},
      {"{\"article\": \"one", {"a.jsonl:2", "JSON"}},
      {"[]", {"a.jsonl:2", "an object"}}};
  for (const auto& [line, parts] : bad) {
    ArticleSource articles = source("a.jsonl", good + line + "\n" + good);
    try {
      read_articles(articles);
      ADD_FAILURE() << "took " << line;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::bad_file);
      for (const auto part : parts) {
        EXPECT_NE(std::string(error.what()).find(part), std::string::npos)
            << error.what() << " lacks " << part;
      }
    }
    articles.skip_bad = true;
    const Articles left = read_articles(articles);
    EXPECT_EQ(left.good.size(), 2U) << line;
    EXPECT_EQ(left.num_skipped, 1U) << line;
  }
  ArticleSource nothing = source("a.jsonl", "[]\n");
  nothing.skip_bad = true;
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"at least one article", "1 bad"}),
                     read_articles(nothing));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"got none"}), read_articles(source("e.jsonl", "")));
}

TEST(SummaryPrompt, IsTheArticlesEndAndItsQuestion) {
  const auto tokenizer = Tokenizer::load(testing::demo_model("tale-gpt2"));
  EXPECT_EQ(default_prompt_style(*tokenizer), PromptStyle::tldr);
  const SummaryPrompter whole(*tokenizer, PromptStyle::tldr, 100);
  const auto ids = whole.prompt_ids("\xC2\xA0The king did n't come. ");
  // The blanks before the article go, those before the question stay.
  EXPECT_EQ(tokenizer->decode(ids, false), "The king didn't come.  TL;DR:");
  const SummaryPrompter last(*tokenizer, PromptStyle::tldr, 5);
  const auto others = whole.prompt_ids("The king did n't come.");
  EXPECT_EQ(last.prompt_ids("The king did n't come."), TokenIds(others.end() - 5, others.end()));
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"chat", "<|im_start|>"}),
                     SummaryPrompter(*tokenizer, PromptStyle::chat, 100));
}

TEST(SummaryPrompt, AChatKeepsItsOwnTokens) {
  const auto tokenizer = Tokenizer::load(testing::demo_model("tale-qwen2"));
  EXPECT_EQ(default_prompt_style(*tokenizer), PromptStyle::chat);
  const SummaryPrompter whole(*tokenizer, PromptStyle::chat, 500);
  const auto ids = whole.prompt_ids("The king<|im_end|> did n't come.");
  EXPECT_EQ(tokenizer->decode(ids, false),
            "<|im_start|>system\nYou are a helpful assistant, please summarize the article entered "
            "by the user with one or two sentences.<|im_end|>\n<|im_start|>user\n"
            "The king<|im_end|> didn't come.<|im_end|>\n<|im_start|>assistant\n");
  const auto end = tokenizer->token_to_id("<|im_end|>").value();
  EXPECT_EQ(std::count(ids.begin(), ids.end(), end), 2);  // the article's own is text

  const auto own = static_cast<int>(whole.prompt_ids("a").size()) - 1;
  const auto cut = SummaryPrompter(*tokenizer, PromptStyle::chat, own + 3)
                       .prompt_ids("The king<|im_end|> did n't come.");
  EXPECT_EQ(std::ssize(cut), own + 3);
  EXPECT_EQ(cut.front(), ids.front());
  EXPECT_TRUE(std::equal(cut.end() - 8, cut.end(), ids.end() - 8));
  EXPECT_QUERN_ERROR(ErrorCode::invalid_argument, ({"max_input_length", std::to_string(own)}),
                     SummaryPrompter(*tokenizer, PromptStyle::chat, own));
}

TEST(SummaryLengths, FitTheContext) {
  SummarizeOptions options;
  EXPECT_EQ(summary_lengths(options, 1024).max_input_length, 923);
  EXPECT_EQ(summary_lengths(options, 1024).max_new_tokens, 100);
  EXPECT_EQ(summary_lengths(options, 512).max_input_length, 412);
  EXPECT_USAGE_ERROR(({"--max-new-tokens 100", "100 tokens"}), summary_lengths(options, 100));
  options.max_input_length = 413;
  EXPECT_USAGE_ERROR(({"--max-input-length 413", "512"}), summary_lengths(options, 512));
}

TEST(Agreement, CountsSharedPrefixes) {
  const std::vector<Summary> ours = {
      {"", TokenIds{1, 2, 3, 4}}, {"", TokenIds{5}}, {"", TokenIds{}}, {"", TokenIds{9}}};
  const std::vector<Summary> theirs = {
      {"", TokenIds{1, 2, 9}}, {"", TokenIds{5}}, {"", TokenIds{}}, {"", std::nullopt}};
  const TokenAgreement agreement = token_agreement(ours, theirs);
  EXPECT_EQ(agreement.num_compared, 3U);
  EXPECT_EQ(agreement.num_same, 2U);
  EXPECT_DOUBLE_EQ(agreement.mean_shared_prefix, (0.5 + 1 + 1) / 3);
}

TEST(ReferenceFile, IsHeldAgainstOurPrompts) {
  const testing::TempFolder folder;
  const auto file = testing::write_file(
      folder / "r.jsonl",
      "{\"text\": \"a\", \"prompt_ids\": [1, 2], \"output_ids\": [7]}\n{\"text\": \"b\"}\n");
  const auto summaries = read_summaries(file, {{1, 2}, {3}});
  ASSERT_EQ(summaries.size(), 2U);
  EXPECT_EQ(summaries[0].output_ids, TokenIds{7});
  EXPECT_FALSE(summaries[1].output_ids);
  EXPECT_EQ(read_summaries(file, {{1, 2}}).size(), 1U);
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"r.jsonl:1", "prompt_ids", "with 3 at 1", "with 2"}),
                     read_summaries(file, {{1, 3}}));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"r.jsonl", "expected 3 summaries", "got 2"}),
                     read_summaries(file, {{1, 2}, {3}, {4}}));
}

// The recipe by transformers in float32 on the same ids; 0.01 % is what a port may be apart.
TEST(Judge, GivesHuggingFacesPerplexityOfTheGoldenTexts) {
  const std::vector<std::pair<std::string, std::string>> models = {{"tale-gpt2", "gpt2"},
                                                                   {"tale-llama", "llama"},
                                                                   {"tale-qwen", "qwen2"},
                                                                   {"tale-qwen2", "qwen2"}};
  for (const auto& [model, name] : models) {
    const auto golden = nlohmann::json::parse(
        testing::read_file(std::filesystem::path(QUERN_SOURCE_DIR) / "tests/golden" /
                           (name + ".golden.json")))["perplexity"];
    EngineOptions options;
    options.device = DeviceChoice::cpu;
    options.dtype = DType::float32;
    options.max_tokens_per_step = 100;  // so that windows and chunks do not end together
    Engine engine = Engine::load(testing::demo_model(model).string(), options);
    const JudgedText text = {
        golden["token_ids"].get<TokenIds>(), {1024, 512}, engine.info().vocab_size};
    const Judgement judgement =
        judge(engine, text, {nullptr, nullptr, [](const Window&) { return true; }});
    EXPECT_TRUE(judgement.complete);
    EXPECT_EQ(judgement.nll.size(), text.ids.size() - 1);
    EXPECT_NEAR(judgement.perplexity() / golden["perplexity"].get<double>(), 1, 1e-4) << model;
  }
}

}  // namespace
}  // namespace quern::tools
