#include <gtest/gtest.h>

#include <string>

#include "quern/chat.h"
#include "quern/error.h"
#include "tests/support/expect_error.h"
#include "tests/support/test_files.h"

namespace quern {
namespace {

class ChatLoadTest : public ::testing::Test {
 protected:
  void write(const std::string& name, const std::string& text) {
    testing::write_file(folder_ / name, text);
  }
  std::string source(const std::optional<std::string>& name = std::nullopt, bool tools = false) {
    return ChatTemplate::load(folder_.path(), name, tools).source();
  }

  const testing::TempFolder folder_;
};

TEST_F(ChatLoadTest, AFileComesBeforeTheConfig) {
  write("tokenizer_config.json", R"({"chat_template": "config"})");
  EXPECT_EQ(source(), "config");
  write("chat_template.jinja", "file");
  EXPECT_EQ(source(), "file");
  write("additional_chat_templates/tool_use.jinja", "tools");
  EXPECT_EQ(source(), "file");
  EXPECT_EQ(source(std::nullopt, true), "tools");
  EXPECT_EQ(source("tool_use"), "tools");
}

TEST_F(ChatLoadTest, NamedTemplates) {
  write("tokenizer_config.json", R"({"chat_template": [{"name": "default", "template": "a"},
                                     {"name": "tool_use", "template": "b"}]})");
  EXPECT_EQ(source(), "a");
  EXPECT_EQ(source(std::nullopt, true), "b");
  EXPECT_QUERN_ERROR(ErrorCode::not_found, ({"'c'", "'default', 'tool_use'", "chatml"}),
                     source("c"));
  write("own.jinja", "own");
  EXPECT_EQ(source((folder_ / "own.jinja").string()), "own");
  write("tokenizer_config.json", R"({"chat_template": [{"name": "x", "template": "a"}]})");
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"'default'", "'x'"}), source());
}

TEST_F(ChatLoadTest, TheFirstQwenHasChatMl) {
  EXPECT_QUERN_ERROR(ErrorCode::not_found, ({folder_.path().string(), "chat"}), source());
  EXPECT_EQ(source("chatml"), ChatTemplate::built_in("chatml"));
  write("generation_config.json", R"({"chat_format": "chatml"})");
  EXPECT_EQ(source(), ChatTemplate::built_in("qwen"));
}

TEST_F(ChatLoadTest, SpecialTokensAreTheFolders) {
  write("config.json", R"({"model_type": "llama"})");
  write("chat_template.jinja", "{{ bos_token }}{{ eos_token }}");
  write(
      "tokenizer_config.json",
      R"({"tokenizer_class": "LlamaTokenizer", "bos_token": "[B]", "eos_token": {"content": "[E]"}})");
  ChatInput input;
  input.messages = R"([{"role": "user", "content": "Hi"}])";
  const RenderedChat chat = ChatTemplate::load(folder_.path()).render(input);
  EXPECT_EQ(chat.text, "[B][E]");
  EXPECT_TRUE(chat.untrusted.empty());
}

TEST_F(ChatLoadTest, BadFilesAreNamed) {
  write("tokenizer_config.json", R"({"chat_template": 1})");
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"tokenizer_config.json", "chat_template"}), source());
  write("chat_template.jinja", "\n{{ ");
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"chat_template.jinja", "2"}), source());
  write("chat_template.jinja", "a\xff");
  EXPECT_QUERN_ERROR(ErrorCode::bad_file, ({"chat_template.jinja", "UTF-8", "1"}), source());
}

}  // namespace
}  // namespace quern
