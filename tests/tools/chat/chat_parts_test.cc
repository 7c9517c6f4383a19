#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "quern/engine.h"
#include "tests/support/expect_error.h"
#include "tests/support/test_files.h"
#include "tools/chat/chat_format.h"
#include "tools/chat/json_text.h"
#include "tools/chat/settings.h"
#include "tools/chat/terminal/edited_lines.h"
#include "tools/cli/request_options.h"
#include "tools/cli/usage_error.h"

namespace quern::tools {
namespace {

ChatFormat format_of(const char* model) {
  return {read_model_info(
              (std::filesystem::path(QUERN_SOURCE_DIR) / "examples/models" / model).string()),
          {}};
}

AnswerPiece shown(const ChatFormat& format, const std::string& text, std::size_t cut) {
  AnswerText answer(format, {});
  AnswerPiece all;
  for (std::size_t at = 0; at < text.size(); at += cut) {
    const AnswerPiece piece = answer.add(text.substr(at, cut), at + cut >= text.size());
    all.content += piece.content;
    all.reasoning += piece.reasoning;
  }
  return all;
}

TEST(AnswerTextTest, IsTheSameHoweverItIsCut) {
  const ChatFormat first = format_of("tale-qwen");
  const ChatFormat second = format_of("tale-qwen2");
  for (const std::size_t cut : {1, 2, 3, 5, 100}) {
    SCOPED_TRACE(cut);
    EXPECT_EQ(shown(first, " \n One  two\n three \n\n", cut).content, "One  two\n three");
    EXPECT_EQ(shown(second, " \n One  two\n three \n\n", cut).content, " \n One  two\n three \n\n");
    EXPECT_EQ(shown(first, " \n ", cut).content, "");
    const AnswerPiece thought = shown(second, "<think>\nwell\n</think>\n\nYes", cut);
    EXPECT_EQ(thought.reasoning, "well");
    EXPECT_EQ(thought.content, "Yes");
  }
}

TEST(JsonTextTest, KeepsOrderWithinLimits) {
  EXPECT_EQ(json_text(parse_json_text(R"({"b": 1, "a": [2, "é"], "b": 3})", "t")),
            "{\"b\":3,\"a\":[2,\"é\"]}");
  const auto nested = [](int levels) {
    return std::string(static_cast<std::size_t>(levels), '[') +
           std::string(static_cast<std::size_t>(levels), ']');
  };
  EXPECT_TRUE(is_json(nested(100)));
  EXPECT_FALSE(is_json(nested(100'000)));
  std::string wide = "{\"k\":0";
  for (int i = 0; i < 5000; ++i) wide += ",\"" + std::to_string(i) + "\":0";
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"t.json", "4096 keys"}),
                     parse_json_text(wide + "}", "t.json"));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"t.json", "line 2"}),
                     parse_json_text("{\n]", "t.json"));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"t.json", "UTF-8"}),
                     parse_json_text("\"\xff\"", "t.json"));
}

TEST(SettingsTest, AreThoseOfTheCommandLine) {
  Request request;
  request.sampling.greedy = true;
  set_setting(request, "repetition-penalty", "1.1");
  EXPECT_TRUE(request.sampling.greedy);
  set_setting(request, "temperature", "0.7");
  EXPECT_FALSE(request.sampling.greedy);
  EXPECT_EQ(request.sampling.temperature, 0.7F);
  set_setting(request, "temperature", "0");
  set_setting(request, "top_k", "20");
  EXPECT_EQ(request.sampling.temperature, std::nullopt);
  set_setting(request, "top_k", "default");
  EXPECT_EQ(request.sampling.top_k, std::nullopt);
  set_setting(request, "max_new_tokens", "9");
  EXPECT_EQ(request.max_new_tokens, 9);
  for (const auto& [name, value] : std::vector<std::pair<const char*, const char*>>{
           {"top_p", "2"}, {"top_k", "-1"}, {"max_new_tokens", "0"}, {"warmth", "1"}}) {
    EXPECT_THROW(set_setting(request, name, value), UsageError) << name;
  }
}

TEST(SettingsTest, EveryOptionCanBeSetShownAndReset) {
  const std::map<std::string_view, std::pair<const char*, const char*>> others = {
      {"greedy", {"on", "on"}},
      {"ignore_eos", {"on", "on"}},
      {"dry_base", {"1.5", "1.5"}},
      {"top_n_sigma", {"0.25", "0.25"}},
      {"logit_bias", {"7=-2.5", "7=-2.5"}},
      {"dry_sequence_breaker", {";", "';'"}},
      {"stop", {"the end", "'the end'"}},
      {"stop_token_ids", {"3,4", "3,4"}}};
  const auto line_of = [](const Request& request, std::string_view name) {
    const std::string text = settings_text(request);
    const std::size_t begin = text.find("\n" + std::string(name) + " ");
    const std::size_t value = begin == std::string::npos ? 0 : begin + 1;
    return text.substr(value, text.find('\n', value) - value);
  };
  ASSERT_GT(request_options().size(), 28U);
  for (const RequestOption& option : request_options()) {
    Request request;
    const auto other = others.find(option.name);
    const bool whole =
        option.placeholder == "N" || option.placeholder == "K" || option.placeholder == "LENGTH";
    const auto [value, shown] = other != others.end() ? other->second
                                : whole               ? std::pair("3", "3")
                                                      : std::pair("0.25", "0.25");
    const std::string before = line_of(request, option.name);
    set_setting(request, option.name, value);
    const std::string after = line_of(request, option.name);
    EXPECT_NE(after, before) << option.name;
    EXPECT_TRUE(after.ends_with(shown)) << after;
    set_setting(request, option.name, "default");
    EXPECT_EQ(line_of(request, option.name), before);
    EXPECT_THROW(set_setting(request, option.name, ""), UsageError) << option.name;
  }
}

TEST(SettingsTest, OptionsWithSeveralValuesGrow) {
  Request request;
  set_setting(request, "stop", "\\n");
  set_setting(request, "stop", "END");
  EXPECT_EQ(request.stop, (std::vector<std::string>{"\n", "END"}));
  EXPECT_THROW(set_setting(request, "stop", "\\x"), UsageError);
  EXPECT_EQ(request.stop.size(), 2U);
  set_setting(request, "stop", "default");
  EXPECT_TRUE(request.stop.empty());
  EXPECT_THROW(set_setting(request, "greedy", "yes"), UsageError);
}

TEST(LineInputTest, ABackslashGoesOn) {
  std::string line = "a\\";
  EXPECT_TRUE(take_continuation(line));
  EXPECT_EQ(line, "a");
  EXPECT_FALSE(take_continuation(line));
}

}  // namespace
}  // namespace quern::tools
