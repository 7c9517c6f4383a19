#include <gtest/gtest.h>

#include <array>
#include <string_view>

#include "io/json/json.h"
#include "tests/support/expect_error.h"

namespace quern {
namespace {

/// Keeps the document alive with its reader.
struct Document {
  explicit Document(const char* text)
      : json(parse_json(text, "config.json")), object(json, "config.json") {}
  Json json;
  JsonObject object;
};

TEST(JsonObject, OptionalReadings) {
  const Document document(
      R"({"i": -3, "n": 2.5, "b": false, "s": "x", "o": {"k": 1}, "nothing": null})");
  const JsonObject& object = document.object;
  EXPECT_EQ(object.integer("i", -3, 0), -3);
  EXPECT_EQ(object.number("n", 0, 3), 2.5);
  EXPECT_EQ(object.number("i", -5, 3), -3.0) << "an integer is a number";
  EXPECT_EQ(object.boolean("b"), false);
  EXPECT_EQ(object.string("s"), "x");
  EXPECT_EQ(object.object("o")->required_integer("k", 0, 1), 1);
  for (const char* absent : {"nothing", "none"}) {
    EXPECT_FALSE(object.has(absent));
    EXPECT_EQ(object.integer(absent, 0, 1), std::nullopt);
    EXPECT_EQ(object.number(absent, 0, 1), std::nullopt);
    EXPECT_EQ(object.boolean(absent), std::nullopt);
    EXPECT_EQ(object.string(absent), std::nullopt);
    EXPECT_FALSE(object.object(absent).has_value());
  }
}

TEST(JsonObject, RefusesKeysThatNobodyReads) {
  const Document document(R"({"a": 1, "o": {"a": 1, "typo": 2}})");
  constexpr std::array<std::string_view, 2> kKnown = {"a", "o"};
  document.object.require_only(kKnown);
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"config.json", "'o.typo'", "unknown", "a, o"}),
                     document.object.object("o")->require_only(kKnown));
}

TEST(JsonObject, IntegersOutOfRangeOrOfAnotherType) {
  const Document document(R"({"i": 5, "f": 5.0, "s": "5", "b": true, "u": 18446744073709551615,
                              "huge": 1000000000000000019884624838656, "min": -9223372036854775808})");
  const JsonObject& object = document.object;
  EXPECT_EQ(object.integer("i", 5, 5), 5);
  EXPECT_EQ(object.integer("min", INT64_MIN, 0), INT64_MIN);
  EXPECT_QUERN_ERROR(ErrorCode::bad_file,
                     ({"config.json: key 'i': expected an integer from 6 to 10, got 5"}),
                     object.integer("i", 6, 10));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"got 5"}), object.integer("i", 0, 4));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"key 'f'", "got 5.0"}), object.integer("f", 0, 9));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"key 's'", "got \"5\""}), object.integer("s", 0, 9));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"key 'b'", "got true"}), object.integer("b", 0, 9));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"got 18446744073709551615"}),
                     object.integer("u", INT64_MIN, INT64_MAX));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"key 'huge'"}),
                     object.integer("huge", INT64_MIN, INT64_MAX));
}

TEST(JsonObject, NumbersOutOfRangeOrOfAnotherType) {
  const Document document(R"({"n": 0.5, "s": "0.5"})");
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"key 'n': expected a number from 1 to 2, got 0.5"}),
                     document.object.number("n", 1, 2));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"key 's'"}), document.object.number("s", 0, 2));
}

TEST(JsonObject, OtherTypes) {
  const Document document(R"({"a": 1})");
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"key 'a': expected true or false, got 1"}),
                     document.object.boolean("a"));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"key 'a': expected a string, got 1"}),
                     document.object.string("a"));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"key 'a': expected an object, got 1"}),
                     document.object.object("a"));
}

TEST(JsonObject, RequiredKeysThatAreAbsent) {
  const Document document(R"({"outer": {"null": null}})");
  const auto inner = document.object.object("outer");
  EXPECT_QUERN_ERROR(ErrorCode::bad_file,
                     ({"config.json: key 'outer.hidden_size': expected an integer", "got nothing"}),
                     inner->required_integer("hidden_size", 1, 9));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"key 'outer.null'", "got null"}),
                     inner->required_number("null", 1, 9));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"key 'outer.s'", "a string", "got nothing"}),
                     inner->required_string("s"));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"key 'outer.l'", "a list", "got nothing"}),
                     inner->required_integers("l", 0, 1));
}

TEST(JsonObject, ListsOfIntegers) {
  const Document document(R"({"l": [1, 2], "empty": [], "mixed": [1, 2.5], "low": [-1], "no": 1})");
  const JsonObject& object = document.object;
  EXPECT_EQ(object.required_integers("l", 0, 2), (std::vector<std::int64_t>{1, 2}));
  EXPECT_TRUE(object.required_integers("empty", 0, 2).empty());
  for (const char* key : {"mixed", "low", "no"}) {
    EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({key, "a list of integers from 0 to 2"}),
                       object.required_integers(key, 0, 2));
  }
}

TEST(JsonObject, OnlyObjectsHaveKeys) {
  const Json list = parse_json("[1]", "f");
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"f: expected an object, got [1]"}),
                     JsonObject(list, "f"));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"f: key 'rope': expected an object"}),
                     JsonObject(list, "f", "rope."));
}

TEST(JsonObject, LongAndOddValuesAreShown) {
  const Document document(
      R"({"long": ["aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"],
                              "line": "a\nb"})");
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"…"}), document.object.integer("long", 0, 1));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({R"(got "a\nb")"}),
                     document.object.integer("line", 0, 1));
}

}  // namespace
}  // namespace quern
