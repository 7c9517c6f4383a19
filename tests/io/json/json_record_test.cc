#include <gtest/gtest.h>

#include <array>
#include <ctime>
#include <limits>

#include "quern/json.h"
#include "tests/support/expect_error.h"

namespace quern {
namespace {

JsonRecord parse(const std::string& text) { return JsonRecord::parse(text, "f:1"); }

void refuse(std::initializer_list<std::string_view> parts, const auto& read) {
  testing::expect_error(ErrorCode::bad_file, parts, read);
}

TEST(JsonRecord, RefusesWhatIsNotOneStrictObject) {
  for (const char* text : {"{\"a\": 1", "{} {}", "{\"a\": \"\xff\"}", ""}) {
    EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"f:1", "not valid JSON"}), parse(text));
  }
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"f:1", "zero byte"}), parse(std::string("{}\0x", 4)));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"f:1", "an object", "[1]"}), parse("[1]"));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"f:1", "duplicate key 'b'"}),
                     parse(R"({"a": {"b": 1, "c": {"b": 1}, "b": 2}})"));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"duplicate key 'b'"}),
                     parse(R"({"b": null, "\u0062": null})"));
  EXPECT_EQ(parse(R"({"a": [{"b": 1}, {"b": 2}]})").text(), R"({"a":[{"b":1},{"b":2}]})");
}

TEST(JsonRecord, LimitsHold) {
  const auto nested = [](std::size_t levels) {
    return R"({"a": )" + std::string(levels, '[') + std::string(levels, ']') + "}";
  };
  EXPECT_TRUE(parse(nested(99)).has("a"));
  for (const std::size_t levels : {100, 200000}) {
    EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"f:1", "100 levels"}), parse(nested(levels)));
  }
  std::string lists = R"({"a": [)";
  for (int i = 0; i < 1'000'000; ++i) lists += "[],";
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"f:1", "10 times its text"}), parse(lists + "0]}"));
}

TEST(JsonRecord, ManyKeysTakeNoQuadraticTime) {
  const auto seconds = [](int keys) {
    std::string text = "{";
    for (int i = 0; i < keys; ++i) text += "\"" + std::to_string(i) + "\": 0, ";
    const std::clock_t start = std::clock();
    parse(text + "\"x\": 0}");
    return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  };
  // 16 times as many: 256 times the time if it were quadratic. The offset is for noise.
  EXPECT_LT(seconds(160'000), 64 * (seconds(10'000) + 0.01));
}

TEST(JsonRecord, ReadsKeysByTheirTypes) {
  const JsonRecord record = parse(
      R"({"text": "x", "ids": [0, 7, 2147483647], "n": 1.5, "none": null, "in": {"n": -1},
          "big": 18446744073709551615, "stops": ["a", "b"]})");
  EXPECT_EQ(record.source(), "f:1");
  EXPECT_EQ(record.keys(),
            (std::vector<std::string>{"big", "ids", "in", "n", "none", "stops", "text"}));
  EXPECT_EQ(record.required_string("text"), "x");
  EXPECT_EQ(record.token_ids("ids"), (std::vector<std::int32_t>{0, 7, 2147483647}));
  EXPECT_EQ(record.number("n", 0, 2), 1.5);
  const auto max = std::numeric_limits<std::uint64_t>::max();
  EXPECT_EQ(record.unsigned_integer("big", 0, max), max);
  EXPECT_EQ(record.strings("stops"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(record.strings("text"), (std::vector<std::string>{"x"}));
  EXPECT_FALSE(record.has("none"));
  for (const char* key : {"none", "absent"}) {
    EXPECT_EQ(record.number(key, 0, 2), std::nullopt);
    EXPECT_EQ(record.unsigned_integer(key, 0, 2), std::nullopt);
    EXPECT_EQ(record.string(key), std::nullopt);
    EXPECT_EQ(record.strings(key), std::nullopt);
    EXPECT_EQ(record.token_ids(key), std::nullopt);
    EXPECT_FALSE(record.object(key));
  }
}

TEST(JsonRecord, ErrorsNameKeyExpectedAndActual) {
  const JsonRecord record = parse(
      R"({"text": "x", "n": 1.5, "in": {"n": -1}, "big": 18446744073709551615, "none": ["", "a"]})");
  refuse({"f:1", "'n'", "from 0 to 1", "1.5"}, [&] { record.number("n", 0, 1); });
  refuse({"'text'", "a number", "\"x\""}, [&] { record.required_number("text", 0, 1); });
  refuse({"'absent'", "a string", "nothing"}, [&] { record.required_string("absent"); });
  refuse({"'in.n'", "-1"}, [&] { record.object("in")->required_number("n", 0, 1); });
  refuse({"'text'", "an object"}, [&] { record.object("text"); });
  refuse({"'n'", "integers"}, [&] { record.token_ids("n"); });
  refuse({"'n'", "a string", "1.5"}, [&] { record.string("n"); });
  refuse({"'big'", "from 0 to 7"}, [&] { record.unsigned_integer("big", 0, 7); });
  refuse({"'n'", "from 1 to 7", "1.5"}, [&] { record.unsigned_integer("n", 1, 7); });
  refuse({"'none'", "none of them empty"}, [&] { record.strings("none"); });
  const std::array<std::string_view, 2> known = {"text", "n"};
  refuse({"'big'", "unknown", "text, n"}, [&] { record.require_only(known); });
  for (const char* ids : {"[-1]", "[2147483648]", "[1.5]", "[\"1\"]", "[18446744073709551615]"}) {
    const JsonRecord bad = parse(std::string("{\"ids\": ") + ids + "}");
    refuse({"'ids'", "integers"}, [&] { bad.token_ids("ids"); });
  }
}

TEST(JsonRecord, APartOutlivesTheWhole) {
  const auto inner = parse(R"({"in": {"a": "x"}})").object("in");
  EXPECT_EQ(inner->required_string("a"), "x");
  const JsonRecord texts = JsonRecord::of_texts({{"b", "y"}, {"a", ""}}, "c:2");
  EXPECT_EQ(texts.text(), R"({"a":"","b":"y"})");
  refuse({"c:2", "'b'", "a number", "\"y\""}, [&] { texts.number("b", 0, 1); });
}

}  // namespace
}  // namespace quern
