#include "io/json/json.h"

#include <gtest/gtest.h>

#include <ctime>

#include "tests/support/expect_error.h"
#include "tests/support/sanitizers.h"
#include "tests/support/test_files.h"

namespace quern {
namespace {

using testing::TempFolder;
using testing::write_file;

std::string nested(int depth) { return std::string(depth, '[') + std::string(depth, ']'); }

TEST(Json, ParsesADocument) {
  const Json json = parse_json(" {\"a\": [1, -2.5, true, null, \"\\u00e9\"]}\n", "f");
  EXPECT_EQ(json["a"].size(), 5u);
  EXPECT_EQ(json["a"][4], "é");
}

TEST(Json, TheLastOfDuplicateKeysCounts) {
  const Json json = parse_json(
      R"({"a": 1, "b": [{"x": {"y": 1}, "\u0078": 2}], "a": {"c": 3}, "d": {}, "d": 4})", "f");
  EXPECT_EQ(json, (Json{{"a", {{"c", 3}}}, {"b", {{{"x", 2}}}}, {"d", 4}}));
}

TEST(Json, RefusesDeepNesting) {
  EXPECT_NO_THROW(parse_json(nested(100), "f"));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"f", "deeper than 100"}), parse_json(nested(101), "f"));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"deeper than 100"}),
                     parse_json(std::string(1'000'000, '['), "f"));
  std::string objects;
  for (int i = 0; i < 200; ++i) objects += R"({"a":)";
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"deeper than 100"}), parse_json(objects, "f"));
}

TEST(Json, RefusesWhatIsNoDocument) {
  for (const std::string text :
       {"", " ", "{", "[1,]", "{\"a\":}", "{} x", "{}{}", "nul", "'a'", "{\"a\": NaN}",
        "[Infinity]", "[01]", "[1e999]", "\"\\ud800\"", "// comment\n{}", "\"a\nb\"", "\"a\tb\""}) {
    EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"tokenizer.json: not valid JSON"}),
                       parse_json(text, "tokenizer.json"));
  }
}

TEST(Json, RefusesWhatIsNotUtf8) {
  for (const char* text :
       {"\"\xff\"", "\"\xc0\x80\"", "\"\xe2\x82\"", "{\"\x80\": 1}", "\xfe\xff"}) {
    EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"f: not valid JSON"}), parse_json(text, "f"));
  }
}

TEST(Json, RefusesZeroBytesAndWhatTheyHide) {
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"f: not valid JSON", "zero byte at offset 2"}),
                     parse_json(std::string_view("{}\0 hidden", 10), "f"));
}

TEST(Json, FilterTakesTablesOutOfTheDocument) {
  std::string taken;
  const JsonFilter filter = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth == 2 && event == Json::parse_event_t::key) taken += parsed.get<std::string>();
    return depth < 2 || event != Json::parse_event_t::key;
  };
  const Json json = parse_json(R"({"vocab": {"x": 1, "y": 2}, "rest": [3]})", "f", filter);
  EXPECT_EQ(taken, "xy");
  EXPECT_TRUE(json["vocab"].empty());
  EXPECT_EQ(json["rest"], Json({3}));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"deeper than 100"}),
                     parse_json(nested(101), "f", [](auto&&...) { return false; }));
}

TEST(Json, ErrorsStayShortAndUtf8) {
  const std::string text = "\"" + std::string(100'000, 'x') + "\xff";
  try {
    parse_json(text, "f");
    FAIL() << "expected an error";
  } catch (const Error& error) {
    EXPECT_LT(std::string(error.what()).size(), 300u);
    EXPECT_EQ(std::string(error.what()).find('\xff'), std::string::npos);
  }
}

TEST(Json, ReadsFilesAndNamesThem) {
  const TempFolder folder;
  EXPECT_EQ(read_json(write_file(folder / "good.json", "[1]")).size(), 1u);
  const auto empty = write_file(folder / "empty.json", "");
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({empty.string(), "not valid JSON"}), read_json(empty));
  EXPECT_QUERN_ERROR(ErrorCode::not_found, ({"none.json"}), read_json(folder / "none.json"));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"a folder"}), read_json(folder.path()));
  const auto pointer = write_file(folder / "tokenizer.json",
                                  "version https://git-lfs.github.com/spec/v1\noid sha256:0\n");
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({pointer.string(), "git-LFS pointer"}),
                     read_json(pointer));
}

TEST(Json, RefusesHugeFilesBeforeReadingThem) {
  const TempFolder folder;
  const auto path = write_file(folder / "huge.json", "");
  std::filesystem::resize_file(path, std::uintmax_t{1} << 40);
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({path.string(), "at most 16777216"}), read_json(path));
}

TEST(Json, VocabulariesParseInLinearTime) {
  std::string text = "{";
  for (int i = 0; i < 150'000; ++i)
    text += '"' + std::to_string(i) + "\":" + std::to_string(i) + ',';
  text.back() = '}';
  const std::clock_t start = std::clock();  // CPU time: other processes do not count
  EXPECT_EQ(parse_json(text, "vocab.json").size(), 150'000u);
  EXPECT_LT(std::clock() - start, 10 * CLOCKS_PER_SEC)
      << "quadratic time takes minutes, a slow debug build half a second";
}

TEST(Json, ObjectsInObjectsParseInLinearTime) {
  std::string text = "{";
  for (int i = 0; i < 150'000; ++i) text += '"' + std::to_string(i) + "\":{\"a\":[]},";
  text.back() = '}';
  const std::clock_t start = std::clock();
  EXPECT_EQ(parse_json(text, "f").size(), 150'000u);
  EXPECT_EQ(parse_json(text, "f", [](auto&&...) { return true; }).size(), 150'000u);
  EXPECT_LT(std::clock() - start, (kHasSanitizers ? 60 : 10) * CLOCKS_PER_SEC);
}

TEST(Json, MemoryIsBoundedByTheText) {
  std::string text = "[";
  for (int i = 0; i < 5'000'000; ++i) text += "{},";  // 15 MB that would take 30 times as much
  text.back() = ']';
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"f", "at most 10 times its text in memory"}),
                     parse_json(text, "f"));
  // What a filter takes out does not count.
  std::size_t count = 0;
  const Json json = parse_json(text, "f", [&](int depth, Json::parse_event_t event, Json&) {
    count += event == Json::parse_event_t::object_end;
    return depth != 1 || event != Json::parse_event_t::object_end;
  });
  EXPECT_EQ(count, 5'000'000u);
  EXPECT_TRUE(json.empty());
}

TEST(Json, TakesValuesOutAfterTheirKeys) {
  const JsonFilter filter = [](int depth, Json::parse_event_t event, Json& parsed) {
    return depth != 1 || event != Json::parse_event_t::value || parsed != 2;
  };
  EXPECT_EQ(parse_json(R"({"a": 1, "b": 2, "c": [2, {"d": 2}]})", "f", filter),
            parse_json(R"({"a": 1, "c": [2, {"d": 2}]})", "f"));
  EXPECT_TRUE(parse_json("[1, {}]", "f", [](int depth, auto&&...) { return depth > 0; }).is_null());
}

TEST(QuotedName, IsShortAndOnOneLine) {
  EXPECT_EQ(quoted_name("h.0.attn"), "'h.0.attn'");
  EXPECT_EQ(quoted_name("a\nb"), "'a\\nb'");
  EXPECT_EQ(quoted_name("\xff"), "'\xef\xbf\xbd'") << "not UTF-8: replaced";
  EXPECT_LT(quoted_name(std::string(10'000, 'x')).size(), 80u);
  std::string accents;
  for (int i = 0; i < 100; ++i) accents += "é";
  EXPECT_EQ(Json(quoted_name(accents)).dump().find("\xef\xbf\xbd"), std::string::npos)
      << "cut between characters";
}

}  // namespace
}  // namespace quern
