#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <ostream>
#include <string>

#include "quern/chat.h"
#include "quern/error.h"
#include "tests/support/test_files.h"

namespace quern {
namespace {

using Json = nlohmann::ordered_json;  // templates show the order of keys
namespace fs = std::filesystem;

/// expected.json has conversations and what transformers renders for them with each template of
/// templates/.
struct Collection {
  const char* name;
  fs::path folder;

  friend void PrintTo(const Collection& collection, std::ostream* out) { *out << collection.name; }
};

ChatInput input_of(const Json& conversation, const Json& all) {
  ChatInput input;
  input.messages = conversation["messages"].dump();
  if (conversation.contains("tools")) input.tools = conversation["tools"].dump();
  input.add_generation_prompt = conversation.value("add_generation_prompt", true);
  if (conversation.contains("enable_thinking")) {
    input.variables["enable_thinking"] = conversation["enable_thinking"].dump();
  }
  for (const char* token : {"bos_token", "eos_token"}) input.variables[token] = all[token].dump();
  input.date = all["date"].get<std::string>();
  return input;
}

class RenderedTest : public ::testing::TestWithParam<Collection> {};

TEST_P(RenderedTest, IsWhatTransformersRenders) {
  const fs::path& folder = GetParam().folder;
  if (!fs::exists(folder)) GTEST_SKIP() << "needs " << folder;
  const Json all = Json::parse(testing::read_file(folder / "expected.json"));
  int num_compared = 0;
  for (const auto& [name, by_conversation] : all["expected"].items()) {
    const ChatTemplate chat_template =
        ChatTemplate::parse(testing::read_file(folder / "templates" / (name + ".jinja")), name);
    for (const auto& [conversation, expected] : by_conversation.items()) {
      SCOPED_TRACE(name + ", " + conversation);
      const ChatInput input = input_of(all["cases"][conversation], all);
      ++num_compared;
      if (expected.is_string()) {
        try {
          EXPECT_EQ(chat_template.render(input).text, expected.get<std::string>());
        } catch (const Error& error) {
          ADD_FAILURE() << error.what();
        }
      } else {
        EXPECT_THROW(chat_template.render(input), Error) << "expected " << expected;
      }
    }
  }
  EXPECT_GE(num_compared, 75);
}

const fs::path kSource = QUERN_SOURCE_DIR;

INSTANTIATE_TEST_SUITE_P(Templates, RenderedTest,
                         ::testing::Values(Collection{"free", kSource / "tests" / "chat" / "data"},
                                           Collection{"published",
                                                      kSource / ".." / "shared" / "chat"}),
                         [](const auto& collection) { return std::string(collection.param.name); });

}  // namespace
}  // namespace quern
