#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "tests/support/expect_error.h"
#include "tests/tools/cli/expect_usage_error.h"
#include "tools/cli/parsing/nearest_name.h"
#include "tools/cli/request_options.h"
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
      "{\"prompt\": \"one\\ntwo\"}\n\n  \r\n{\"prompt_ids\": [4, 5]}", "p.jsonl");
  ASSERT_EQ(prompts.size(), 2U);
  EXPECT_EQ(prompts[0].text, "one\ntwo");
  EXPECT_EQ(prompts[0].source, "p.jsonl:1");
  EXPECT_EQ(prompts[0].settings.stop, std::nullopt);
  EXPECT_EQ(prompts[1].ids, (std::vector<std::int32_t>{4, 5}));
  EXPECT_EQ(prompts[1].source, "p.jsonl:4");
}

TEST(PromptLines, ReadsWhatARecordWantsOfItsOwn) {
  const auto settings = [](const std::string& keys) {
    return parse_prompt_lines("{\"prompt\": \"a\", " + keys + "}", "p.jsonl").front().settings;
  };
  const PromptSettings all =
      settings(R"("max_new_tokens": 3, "temperature": 0.5, "top_k": 0, "top_p": 1, "min_p": 0, )"
               R"("seed": 18446744073709551615, "stop": ["\n", "x"])");
  EXPECT_EQ(all.max_new_tokens, 3);
  EXPECT_EQ(all.temperature, 0.5F);
  EXPECT_EQ(all.top_k, 0);
  EXPECT_EQ(all.top_p, 1.0F);
  EXPECT_EQ(all.min_p, 0.0F);
  EXPECT_EQ(all.seed, 18446744073709551615U);
  EXPECT_EQ(all.stop, (std::vector<std::string>{"\n", "x"}));
  const PromptSettings rarer =
      settings(R"("top_n_sigma": 1.5, "typical_p": 0.9, "epsilon_cutoff": 0.001, "eta_cutoff": 0)");
  EXPECT_EQ(rarer.top_n_sigma, 1.5F);
  EXPECT_EQ(rarer.typical_p, 0.9F);
  EXPECT_EQ(rarer.epsilon_cutoff, 0.001F);
  EXPECT_EQ(rarer.eta_cutoff, 0.0F);
  Request request;
  apply(rarer, request);
  EXPECT_EQ(request.sampling.top_n_sigma, 1.5F);
  EXPECT_EQ(request.sampling.typical_p, 0.9F);
  EXPECT_EQ(request.sampling.epsilon_cutoff, 0.001F);
  EXPECT_EQ(request.sampling.eta_cutoff, 0.0F);
  EXPECT_EQ(settings(R"("stop": "END")").stop, std::vector<std::string>{"END"});
  EXPECT_EQ(settings(R"("stop": [], "seed": null)").stop, std::vector<std::string>());
}

TEST(PromptSettings, TakeThePlaceOfTheCommandLines) {
  Request request;
  request.sampling.greedy = true;
  request.stop = {"all"};
  request.max_new_tokens = 9;
  Request greedy = request;
  PromptSettings settings;
  settings.temperature = 0.0F;
  settings.stop = std::vector<std::string>{"own"};
  apply(settings, greedy);
  EXPECT_TRUE(greedy.sampling.greedy);
  EXPECT_EQ(greedy.stop, std::vector<std::string>{"own"});
  EXPECT_EQ(greedy.max_new_tokens, 9);

  Request sampled = request;
  settings = {};
  settings.max_new_tokens = 2;
  settings.top_k = 5;
  settings.seed = 7;
  apply(settings, sampled);
  EXPECT_FALSE(sampled.sampling.greedy) << "a record that wants to be sampled is";
  EXPECT_EQ(sampled.sampling.top_k, 5);
  EXPECT_EQ(sampled.sampling.seed, 7U);
  EXPECT_EQ(sampled.stop, std::vector<std::string>{"all"});
  EXPECT_EQ(sampled.max_new_tokens, 2);

  Request cold;
  cold.sampling.temperature = 0.0F;
  settings = {};
  settings.top_p = 0.5F;
  apply(settings, cold);
  EXPECT_EQ(cold.sampling.temperature, std::nullopt);
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
  expect_bad("{}", {"p.jsonl:1", "neither"});
  expect_bad("{\"text\": \"a\"}", {"p.jsonl:1", "'text'", "prompt_ids", "max_new_tokens"});
  expect_bad("{\"prompt\": \"a\"}\n{\"prompt\": \"a\", \"max_tokens\": 3}",
             {"p.jsonl:2", "'max_tokens'", "max_new_tokens", "temperature", "top_k", "top_p",
              "min_p", "seed", "stop"});
  for (const char* bad : {"\"max_new_tokens\": 0",
                          "\"max_new_tokens\": 1.5",
                          "\"max_new_tokens\": \"3\"",
                          "\"max_new_tokens\": 4294967296",
                          "\"temperature\": -0.5",
                          "\"temperature\": 1e99",
                          "\"temperature\": true",
                          "\"top_k\": -1",
                          "\"top_p\": 0",
                          "\"top_p\": 1.5",
                          "\"min_p\": 2",
                          "\"top_n_sigma\": -1",
                          "\"typical_p\": 0",
                          "\"epsilon_cutoff\": 1",
                          "\"eta_cutoff\": 1",
                          "\"seed\": -1",
                          "\"seed\": 0.5",
                          "\"stop\": \"\"",
                          "\"stop\": [\"a\", 1]",
                          "\"stop\": 5"}) {
    const std::string_view key =
        std::string_view(bad).substr(1, std::string_view(bad).find(':') - 2);
    expect_bad(std::string("{\"prompt\": \"a\", ") + bad + "}", {"p.jsonl:1", key, "expected"});
  }
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
