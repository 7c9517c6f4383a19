#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "quern/chat.h"
#include "quern/error.h"
#include "tests/support/test_files.h"

namespace quern {
namespace {

using Json = nlohmann::ordered_json;  // templates show the order of keys

/// data/expectations.json has small templates for every part of the language, and what transformers
/// renders for them; make_expectations.py wrote it. An entry is [template, text], or [template,
/// null, error] where transformers errs.
TEST(ExpectationsTest, AreWhatTransformersRenders) {
  const Json all = Json::parse(testing::read_file(std::filesystem::path(QUERN_SOURCE_DIR) /
                                                  "tests/chat/data/expectations.json"));
  ChatInput input;
  input.messages = all["messages"].dump();
  input.date = all["date"].get<std::string>();
  for (const auto& [name, value] : all["variables"].items()) input.variables[name] = value.dump();
  for (const Json& entry : all["expectations"]) {
    const auto source = entry[0].get<std::string>();
    SCOPED_TRACE(source);
    if (entry[1].is_null()) {
      EXPECT_THROW(ChatTemplate::parse(source, "template").render(input), Error)
          << "expected " << entry[2];
      continue;
    }
    try {
      EXPECT_EQ(ChatTemplate::parse(source, "template").render(input).text,
                entry[1].get<std::string>());
    } catch (const Error& error) {
      ADD_FAILURE() << error.what();
    }
  }
  EXPECT_GE(all["expectations"].size(), 185U);
}

}  // namespace
}  // namespace quern
