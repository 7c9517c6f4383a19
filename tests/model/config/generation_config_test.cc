#include "model/config/generation_config.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "quern/log.h"
#include "tests/model/config/config_files.h"
#include "tests/support/expect_error.h"

namespace quern {
namespace {

using testing::generation_config_of;

TEST(GenerationConfig, AbsentFile) {
  const testing::TempFolder folder;
  const GenerationConfig config = load_generation_config(folder.path());
  EXPECT_FALSE(config.present);
  EXPECT_FALSE(config.do_sample);
  EXPECT_FALSE(config.temperature);
  EXPECT_TRUE(config.eos_token_ids.empty());
}

TEST(GenerationConfig, EmptyObject) {
  const GenerationConfig config = generation_config_of("{}");
  EXPECT_TRUE(config.present);
  EXPECT_FALSE(config.max_new_tokens);
  EXPECT_EQ(config.chat_format, "");
}

TEST(GenerationConfig, Qwen25Instruct) {
  const GenerationConfig config = generation_config_of(R"({
      "bos_token_id": 151643, "pad_token_id": 151643, "do_sample": true,
      "eos_token_id": [151645, 151643], "repetition_penalty": 1.05, "temperature": 0.7,
      "top_p": 0.8, "top_k": 20, "transformers_version": "4.37.0"})");
  EXPECT_EQ(config.bos_token_id, 151643);
  EXPECT_EQ(config.pad_token_id, 151643);
  EXPECT_EQ(config.do_sample, true);
  EXPECT_EQ(config.eos_token_ids, (std::vector<std::int32_t>{151645, 151643}));
  EXPECT_EQ(config.repetition_penalty, 1.05f);
  EXPECT_EQ(config.temperature, 0.7f);
  EXPECT_EQ(config.top_p, 0.8f);
  EXPECT_EQ(config.top_k, 20);
  EXPECT_FALSE(config.min_p);
}

TEST(GenerationConfig, QwenChat) {
  const GenerationConfig config = generation_config_of(R"({
      "chat_format": "chatml", "eos_token_id": 151643, "pad_token_id": 151643,
      "max_window_size": 24000, "max_new_tokens": 512, "do_sample": true, "top_k": 0,
      "top_p": 0.8, "repetition_penalty": 1.1, "min_p": 0.1, "no_repeat_ngram_size": 3})");
  EXPECT_EQ(config.chat_format, "chatml");
  EXPECT_EQ(config.max_new_tokens, 512);
  EXPECT_EQ(config.top_k, 0);
  EXPECT_EQ(config.min_p, 0.1f);
  EXPECT_EQ(config.no_repeat_ngram_size, 3);
}

TEST(GenerationConfig, NullsAndOldPadding) {
  const GenerationConfig config = generation_config_of(
      R"({"bos_token_id": null, "eos_token_id": null, "pad_token_id": -1, "temperature": null})");
  EXPECT_FALSE(config.bos_token_id);
  EXPECT_TRUE(config.eos_token_ids.empty());
  EXPECT_FALSE(config.pad_token_id);
  EXPECT_FALSE(config.temperature);
}

TEST(GenerationConfig, LengthsAndBans) {
  const GenerationConfig config = generation_config_of(R"({
      "max_length": 12, "min_new_tokens": 3.0, "min_length": 4, "top_k": -1,
      "suppress_tokens": [5, 6.0], "begin_suppress_tokens": 7, "bad_words_ids": [[8], [9, 10]],
      "stop_strings": "END", "eos_token_id": [-1, 2]})");
  EXPECT_EQ(config.max_length, 12);
  EXPECT_EQ(config.min_new_tokens, 3);
  EXPECT_EQ(config.min_length, 4);
  EXPECT_EQ(config.top_k, 0);
  EXPECT_EQ(config.suppress_tokens, (std::vector<std::int32_t>{5, 6}));
  EXPECT_EQ(config.begin_suppress_tokens, std::vector<std::int32_t>{7});
  EXPECT_EQ(config.bad_words_ids, (std::vector<std::vector<std::int32_t>>{{8}, {9, 10}}));
  EXPECT_EQ(config.stop_strings, std::vector<std::string>{"END"});
  EXPECT_EQ(config.eos_token_ids, std::vector<std::int32_t>{2});
}

TEST(GenerationConfig, BadValues) {
  for (const char* key : {"temperature", "top_p", "min_p", "repetition_penalty", "top_k",
                          "no_repeat_ngram_size", "max_new_tokens"}) {
    for (const Json& bad : {Json(-2), Json("0.5"), Json(true), Json(1e300)}) {
      const Json json = {{key, bad}};
      testing::expect_error(ErrorCode::bad_file, {"generation_config.json", key, bad.dump()},
                            [&] { generation_config_of(json.dump()); });
    }
  }
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"top_p", "1.5"}),
                     generation_config_of(R"({"top_p": 1.5})"));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"repetition_penalty"}),
                     generation_config_of(R"({"repetition_penalty": 0})"));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"eos_token_id"}),
                     generation_config_of(R"({"eos_token_id": [-5]})"));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"bad_words_ids"}),
                     generation_config_of(R"({"bad_words_ids": [[]]})"));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"stop_strings"}),
                     generation_config_of(R"({"stop_strings": [""]})"));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"do_sample"}),
                     generation_config_of(R"({"do_sample": 1})"));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"chat_format"}),
                     generation_config_of(R"({"chat_format": 1})"));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"generation_config.json"}), generation_config_of("{"));
}

TEST(GenerationConfig, RarerFiltersAsGenerateReadsThem) {
  const auto config = generation_config_of(
      R"({"do_sample": true, "typical_p": 0.9, "epsilon_cutoff": 3e-4, "eta_cutoff": 0.002})");
  EXPECT_EQ(config.typical_p, 0.9f);
  EXPECT_EQ(config.epsilon_cutoff, 3e-4f);
  EXPECT_EQ(config.eta_cutoff, 0.002f);
  const auto off = generation_config_of(
      R"({"do_sample": true, "typical_p": 1.5, "epsilon_cutoff": -1, "eta_cutoff": 1.0})");
  EXPECT_EQ(off.typical_p, 1.0f);
  EXPECT_EQ(off.epsilon_cutoff, 0.0f);
  EXPECT_EQ(off.eta_cutoff, 0.0f);
  EXPECT_FALSE(generation_config_of(R"({"typical_p": 0})").typical_p.has_value());
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"typical_p", "above 0"}),
                     generation_config_of(R"({"do_sample": true, "typical_p": 0})"));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"eta_cutoff"}),
                     generation_config_of(R"({"eta_cutoff": "x"})"));
}

TEST(GenerationConfig, WarnsOfWhatHasNoEffect) {
  std::vector<std::string> warnings;
  set_log_sink([&](LogLevel level, std::string_view message) {
    if (level == LogLevel::warning) warnings.emplace_back(message);
  });
  generation_config_of(R"({"num_beams": 4, "typical_p": 1.0, "penalty_alpha": 0.6,
                           "epsilon_cutoff": 0.1, "top_h": 0.3, "sequence_bias": [[[1], 2.0]],
                           "constraints": [], "min_length": 3})");
  set_log_sink({});
  ASSERT_EQ(warnings.size(), 3u);
  EXPECT_NE(warnings[0].find("num_beams"), std::string::npos);
  EXPECT_NE(warnings[1].find("penalty_alpha"), std::string::npos);
  EXPECT_NE(warnings[2].find("sequence_bias"), std::string::npos);
}

}  // namespace
}  // namespace quern
