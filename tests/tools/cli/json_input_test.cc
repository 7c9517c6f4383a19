#include "tools/input/json_input.h"

#include <gtest/gtest.h>

#include "tests/support/expect_error.h"

namespace quern::tools {
namespace {

TEST(JsonInput, RefusesWhatIsNotOneStrictDocument) {
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"f:1", "not valid JSON"}),
                     parse_json("{\"a\": 1", "f:1"));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"f:1", "not valid JSON"}), parse_json("{} {}", "f:1"));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"f:1", "not valid JSON"}),
                     parse_json("\"\xff\"", "f:1"));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"f:1", "zero byte"}),
                     parse_json(std::string_view("{}\0x", 4), "f:1"));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"duplicate key", "\"b\""}),
                     parse_json(R"({"a": {"b": 1, "c": {"b": 1}, "b": 2}})", "f:1"));
  EXPECT_EQ(parse_json(R"([{"b": 1}, {"b": 2}])", "f:1").size(), 2u);
  const auto nested = [](std::size_t levels) {
    return std::string(levels, '[') + std::string(levels, ']');
  };
  EXPECT_EQ(parse_json(nested(100), "f:1").size(), 1u);
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"100 levels"}), parse_json(nested(101), "f:1"));
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"100 levels"}), parse_json(nested(200000), "f:1"));
}

TEST(JsonInput, ReadsKeysByTheirTypes) {
  const Json json = parse_json(
      R"({"text": "x", "ids": [0, 7, 2147483647], "n": 1.5, "none": null, "in": {"n": -1}})",
      "f:1");
  const JsonObject object(json, "f:1");
  EXPECT_EQ(object.required_string("text"), "x");
  EXPECT_EQ(object.required_ids("ids"), (std::vector<std::int32_t>{0, 7, 2147483647}));
  EXPECT_EQ(object.number("n", 0, 2), 1.5);
  EXPECT_FALSE(object.has("none"));
  EXPECT_EQ(object.number("none", 0, 2), std::nullopt);
  EXPECT_EQ(object.object("absent").has_value(), false);
  const auto refuse = [](std::initializer_list<std::string_view> parts, const auto& read) {
    testing::expect_error(ErrorCode::bad_file, parts, read);
  };
  refuse({"f:1", "'n'", "from 0 to 1", "1.5"}, [&] { object.number("n", 0, 1); });
  refuse({"'text'", "a number", "\"x\""}, [&] { object.required_number("text", 0, 1); });
  refuse({"'absent'", "a string", "nothing"}, [&] { object.required_string("absent"); });
  refuse({"'in.n'", "-1"}, [&] { object.object("in")->required_number("n", 0, 1); });
  refuse({"'text'", "an object"}, [&] { object.object("text"); });
  refuse({"'n'", "integers"}, [&] { object.required_ids("n"); });
  for (const char* ids : {"[-1]", "[2147483648]", "[1.5]", "[\"1\"]", "[18446744073709551615]"}) {
    const Json bad = parse_json(std::string("{\"ids\": ") + ids + "}", "f:1");
    refuse({"'ids'", "integers"}, [&] { JsonObject(bad, "f:1").required_ids("ids"); });
  }
}

}  // namespace
}  // namespace quern::tools
