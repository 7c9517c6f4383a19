#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "tests/support/expect_error.h"
#include "tests/tools/cli/expect_usage_error.h"
#include "tools/cli/generation_options.h"
#include "tools/cli/nearest_name.h"
#include "tools/generation/likelihood.h"
#include "tools/generation/prompts.h"
#include "tools/output/json_output.h"
#include "tools/output/text_table.h"
#include "tools/report/environment.h"

namespace quern::tools {
namespace {

TEST(NearestName, DistanceCountsEdits) {
  EXPECT_EQ(edit_distance("", "abc"), 3);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3);
  EXPECT_EQ(edit_distance("promtp", "prompt"), 1);
  EXPECT_EQ(edit_distance("same", "same"), 0);
}

TEST(NearestName, SuggestsOnlyWhatIsNear) {
  const std::vector<std::string> names = {"--top-k", "--top-p", "--temperature"};
  EXPECT_EQ(suggestion("--temprature", names), "; did you mean '--temperature'?");
  EXPECT_EQ(suggestion("--something-else", names), "");
  EXPECT_EQ(suggestion(std::string(100000, 'x'), names), "");
}

TEST(ParseStop, KnowsThreeEscapes) {
  EXPECT_EQ(parse_stop("--stop", R"(a\n\t\\n-)"), "a\n\t\\n-");
  EXPECT_USAGE_ERROR(({"--stop", "''"}), parse_stop("--stop", ""));
  EXPECT_USAGE_ERROR(({"--stop", R"(\\ as escapes)"}), parse_stop("--stop", R"(\d)"));
  EXPECT_USAGE_ERROR(({"--stop"}), parse_stop("--stop", "ends with \\"));
  EXPECT_USAGE_ERROR(({"--stop", "UTF-8"}), parse_stop("--stop", "\xff"));
}

TEST(ParseLogitBias, NeedsIdAndValue) {
  EXPECT_EQ(parse_logit_bias("--logit-bias", "7=-1.5"), (std::pair<std::int32_t, float>{7, -1.5F}));
  for (const char* text : {"", "7", "=1", "7=", "-7=1", "7=nan", "7=1e99", "7=1=2"}) {
    EXPECT_USAGE_ERROR(({"--logit-bias"}), parse_logit_bias("--logit-bias", text));
  }
}

TEST(PromptLines, ReadsTextsAndIds) {
  const auto prompts = parse_prompt_lines(
      "{\"prompt\": \"one\\ntwo\", \"id\": 3}\n\n  \r\n{\"prompt_ids\": [4, 5]}", "p.jsonl");
  ASSERT_EQ(prompts.size(), 2U);
  EXPECT_EQ(prompts[0].text, "one\ntwo");
  EXPECT_EQ(prompts[1].ids, (std::vector<std::int32_t>{4, 5}));
}

TEST(PromptLines, NamesFileLineAndTrouble) {
  const auto expect_bad = [](const std::string& text,
                             std::initializer_list<std::string_view> parts) {
    testing::expect_error(ErrorCode::bad_file, parts, [&] { parse_prompt_lines(text, "p.jsonl"); });
  };
  expect_bad("", {"p.jsonl", "at least one prompt"});
  expect_bad("\n\n", {"p.jsonl", "at least one prompt"});
  expect_bad("{\"prompt\": \"a\"}\n{\"prompt\": 7}", {"p.jsonl:2", "'prompt'", "7"});
  expect_bad("{\"prompt\": \"a\", \"prompt_ids\": [1]}", {"p.jsonl:1", "both"});
  expect_bad("{\"text\": \"a\"}", {"p.jsonl:1", "neither"});
  expect_bad("{\"prompt_ids\": []}", {"p.jsonl:1", "at least one token id"});
  expect_bad("{\"prompt_ids\": [-1]}", {"p.jsonl:1", "prompt_ids"});
  expect_bad("{\"prompt_ids\": [1.5]}", {"p.jsonl:1", "prompt_ids"});
  expect_bad("{\"prompt_ids\": [4294967296]}", {"p.jsonl:1", "prompt_ids"});
  expect_bad("[1]", {"p.jsonl:1"});
  expect_bad("{\"prompt\": \"a", {"p.jsonl:1"});
  expect_bad("{\"prompt\": \"\xff\"}", {"p.jsonl:1"});
}

TEST(TextTable, FormatsBytesAndNumbers) {
  EXPECT_EQ(human_bytes(0), "0 bytes");
  EXPECT_EQ(human_bytes(1023), "1023 bytes");
  EXPECT_EQ(human_bytes(1024), "1.0 KiB");
  EXPECT_EQ(human_bytes((1U << 20) - 1), "1.0 MiB");
  EXPECT_EQ(human_bytes(std::uint64_t{5} << 50), "5120.0 TiB");
  EXPECT_EQ(grouped_digits(0), "0");
  EXPECT_EQ(grouped_digits(999), "999");
  EXPECT_EQ(grouped_digits(1234567), "1,234,567");
}

TEST(TextTable, AlignsAndWrapsAtOneHundredColumns) {
  TextTable table;
  table.heading("Head");
  table.row("a", "1");
  std::string words;
  for (int i = 0; i < 40; ++i) words += "word ";
  table.row("longer", words);
  const std::string text = table.text(false);
  EXPECT_EQ(text.substr(0, 24), "Head\n  a       1\n  longe");
  for (std::size_t begin = 0; begin < text.size(); begin = text.find('\n', begin) + 1) {
    EXPECT_LE(text.find('\n', begin) - begin, TextTable::kWidth);
  }
  EXPECT_EQ(table.text(true).substr(0, 12), "\x1b[1mHead\x1b[0m");
}

TEST(JsonOutput, ShowsNoDigitsThatFloat32DoesNotHave) {
  EXPECT_EQ(OrderedJson(shortest(-0.1F)).dump(), "-0.1");
  EXPECT_EQ(OrderedJson(rounded(12.34567, 3)).dump(), "12.346");
}

TEST(Likelihood, IsTheMeanOverAllButTheFirst) {
  const std::vector<float> logits = {0, 0, 1, 3, 5, 5};
  const std::vector<std::int32_t> ids = {1, 0, 1};
  const double first = std::log(2.0);
  const double second = std::log(std::exp(1.0) + std::exp(3.0)) - 3.0;
  EXPECT_NEAR(mean_negative_log_likelihood(logits, ids).value(), (first + second) / 2, 1e-12);
}

TEST(Likelihood, DoesNotOverflowAndNeedsTwoIds) {
  const std::vector<float> logits = {1e30F, 0, 0, 0};
  EXPECT_EQ(mean_negative_log_likelihood(logits, std::vector<std::int32_t>{0, 0}), 0.0);
  EXPECT_EQ(mean_negative_log_likelihood(std::vector<float>{1, 2}, std::vector<std::int32_t>{0}),
            std::nullopt);
}

TEST(DescribeCpu, CountsCoresOverPackages) {
  const CpuDescription cpu = describe_cpu(
      "processor\t: 0\nmodel name\t: A CPU @ 2: fast\nphysical id\t: 0\ncore id\t\t: 0\n"
      "flags\t\t: fpu avx2 fma\n\n"
      "processor\t: 1\nphysical id\t: 0\ncore id\t\t: 0\n\n"
      "processor\t: 2\nphysical id\t: 1\ncore id\t\t: 0\npower management:\n");
  EXPECT_EQ(cpu.model, "A CPU @ 2: fast");
  EXPECT_EQ(cpu.num_threads, 3);
  EXPECT_EQ(cpu.num_cores, 2);
  EXPECT_EQ(cpu.features, (std::vector<std::string>{"fma", "avx2"}));
  EXPECT_EQ(describe_cpu("").model, "unknown");
}

}  // namespace
}  // namespace quern::tools
