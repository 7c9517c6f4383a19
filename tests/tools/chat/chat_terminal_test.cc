// `quern chat` on a pseudo-terminal: what a user types, and what the user sees.
#include <gtest/gtest.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>

#include "tests/support/test_files.h"
#include "tests/tools/chat/terminal_process.h"
#include "tools/chat/terminal/line_input.h"

namespace quern::testing {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kEnter = "\r";
constexpr const char* kCtrlC = "\x03";
constexpr const char* kCtrlD = "\x04";
constexpr const char* kUp = "\x1b[A";
constexpr const char* kLeft = "\x1b[D";
constexpr const char* kBackspace = "\x7f";
constexpr const char* kPrompt = "> ";

class ChatTerminalTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!tools::can_edit_lines()) GTEST_SKIP() << "this build is without libedit";
  }

  /// A chat whose answers are short, or endless; what was said is in saved() afterwards.
  TerminalOptions options(bool endless = false) const {
    TerminalOptions options;
    options.arguments = {
        "chat",
        "-m",
        (std::filesystem::path(QUERN_SOURCE_DIR) / "examples/models/tale-qwen2").string(),
        "--device",
        "cpu",
        "--greedy",
        "--save",
        file(),
        "-n",
        endless ? "1900" : "4",
        "--ignore-eos"};
    return options;
  }

  std::string file() const { return (folder_ / "saved.jsonl").string(); }

  /// What the user said, message by message.
  std::vector<std::string> said() const {
    std::vector<std::string> texts;
    std::istringstream lines(read_file(file()));
    for (std::string line; std::getline(lines, line);) {
      const Json message = Json::parse(line);
      if (message["role"] == "user") texts.push_back(message["content"]);
    }
    return texts;
  }

  /// Types an entry at the prompt and waits for its answer's end and the next prompt.
  static void say(TerminalProcess& chat, const std::string& keys) {
    chat.type(keys + kEnter);
    ASSERT_TRUE(chat.wait_for("[ended at the limit of 4 new tokens")) << chat.output();
    ASSERT_TRUE(chat.wait_for(kPrompt)) << chat.output();
  }

  static int end(TerminalProcess& chat) {
    chat.type(kCtrlD);
    return chat.finish();
  }

  TempFolder folder_;
};

TEST_F(ChatTerminalTest, MessagesAndCommands) {
  TerminalProcess chat(options());
  ASSERT_TRUE(chat.wait_for(kPrompt)) << chat.output();
  say(chat, "Hello");
  chat.type(std::string("/stats") + kEnter);
  EXPECT_TRUE(chat.wait_for(" prefilled")) << chat.output();
  chat.type(std::string("/help") + kEnter);
  EXPECT_TRUE(chat.wait_for("/regen")) << chat.output();
  EXPECT_TRUE(chat.wait_for("Ctrl-C stops an answer.")) << chat.output();
  chat.type(std::string("/undo") + kEnter);
  EXPECT_TRUE(chat.wait_for("Took back: Hello")) << chat.output();
  EXPECT_TRUE(chat.wait_for(kPrompt));
  say(chat, "Good day");
  chat.type(std::string("/nope") + kEnter);
  EXPECT_TRUE(chat.wait_for("unknown command")) << chat.output();
  EXPECT_TRUE(chat.wait_for(kPrompt));
  EXPECT_EQ(end(chat), 0);
  EXPECT_EQ(said(), std::vector<std::string>{"Good day"});
  EXPECT_EQ(chat.output().find("<|im_"), std::string::npos);
}

TEST_F(ChatTerminalTest, HistoryAndEditing) {
  TerminalProcess chat(options());
  ASSERT_TRUE(chat.wait_for(kPrompt)) << chat.output();
  say(chat, "first");
  say(chat, "second");
  say(chat, std::string(kUp) + kUp + "!");  // the first again, and more
  say(chat, std::string("thrd") + kLeft + kLeft + "i");
  EXPECT_EQ(end(chat), 0);
  EXPECT_EQ(said(), (std::vector<std::string>{"first", "second", "first!", "third"}));
}

TEST_F(ChatTerminalTest, CharactersBeyondAscii) {
  for (const char* locale : {"C.UTF-8", "C"}) {
    SCOPED_TRACE(locale);
    TerminalOptions started = options();
    started.environment.emplace_back("LC_ALL", locale);
    TerminalProcess chat(started);
    ASSERT_TRUE(chat.wait_for(kPrompt)) << chat.output();
    say(chat, std::string("Grüße 你好") + kBackspace + kLeft + kLeft + kLeft + kBackspace + "x");
    EXPECT_EQ(end(chat), 0);
    EXPECT_EQ(said(), std::vector<std::string>{"Grüxe 你"});
    EXPECT_NE(chat.output().find("你"), std::string::npos);
  }
}

TEST_F(ChatTerminalTest, PastedLinesStayTogether) {
  TerminalProcess chat(options());
  ASSERT_TRUE(chat.wait_for("\x1b[?2004h")) << chat.output();
  ASSERT_TRUE(chat.wait_for(kPrompt));
  say(chat, "See: \x1b[200~one\rtwo\tü\r\rthree\r\x1b[201~ end");
  say(chat, "a\\\rb");    // a backslash goes on
  say(chat, "c\x1b\rd");  // Alt-Enter
  EXPECT_EQ(end(chat), 0);
  EXPECT_EQ(said(), (std::vector<std::string>{"See: one\ntwo\tü\n\nthree end", "a\nb", "c\nd"}));
}

TEST_F(ChatTerminalTest, ANarrowWindow) {
  TerminalOptions started = options();
  started.columns = 12;
  TerminalProcess chat(started);
  ASSERT_TRUE(chat.wait_for(kPrompt)) << chat.output();
  const std::string text = "a line that is much wider than the window is, by far";
  say(chat, text + kBackspace + "R");
  chat.resize(40);
  say(chat, "after a change of the window's width, which is a signal");
  EXPECT_EQ(end(chat), 0);
  EXPECT_EQ(said(),
            (std::vector<std::string>{"a line that is much wider than the window is, by faR",
                                      "after a change of the window's width, which is a signal"}));
}

TEST_F(ChatTerminalTest, CtrlCStopsTheAnswerAndNotTheProgram) {
  TerminalProcess chat(options(true));
  ASSERT_TRUE(chat.wait_for(kPrompt)) << chat.output();
  chat.type(std::string("Tell me a story.") + kEnter);
  ASSERT_TRUE(chat.wait_for(" ")) << chat.output();
  ASSERT_TRUE(chat.wait_for("a")) << chat.output();
  while (chat.rest().size() < 300 && chat.wait_for(" ")) {
    if (chat.output().size() > 500) break;
  }
  chat.type(kCtrlC);
  ASSERT_TRUE(chat.wait_for("[stopped")) << chat.output();
  ASSERT_TRUE(chat.wait_for(kPrompt));
  // At the prompt it drops what was typed.
  chat.type(std::string("not this") + kCtrlC);
  ASSERT_TRUE(chat.wait_for("\n"));
  ASSERT_TRUE(chat.wait_for(kPrompt)) << chat.output();
  chat.type(std::string("/set max_new_tokens 4") + kEnter);
  ASSERT_TRUE(chat.wait_for(kPrompt));
  say(chat, "And now?");
  EXPECT_EQ(end(chat), 0);
  EXPECT_EQ(said(), (std::vector<std::string>{"Tell me a story.", "And now?"}));
}

TEST_F(ChatTerminalTest, TheInputsEndInAnyPlace) {
  TerminalProcess empty(options());
  ASSERT_TRUE(empty.wait_for(kPrompt)) << empty.output();
  EXPECT_EQ(end(empty), 0);
  EXPECT_EQ(read_file(file()), "");
}

TEST_F(ChatTerminalTest, ADumbTerminalGetsNoEscapes) {
  TerminalOptions started = options();
  started.environment = {{"TERM", "dumb"}};
  TerminalProcess chat(started);
  ASSERT_TRUE(chat.wait_for(kPrompt)) << chat.output();
  say(chat, "Hello");
  chat.type(std::string("not this") + kCtrlC);
  ASSERT_TRUE(chat.wait_for(kPrompt)) << chat.output();
  say(chat, "Good\\\rday");
  EXPECT_EQ(end(chat), 0);
  EXPECT_EQ(chat.output().find('\x1b'), std::string::npos) << chat.output();
  EXPECT_EQ(said(), (std::vector<std::string>{"Hello", "Good\nday"}));
}

TEST_F(ChatTerminalTest, ReasoningIsDimmed) {
  write_file(folder_ / "think.jinja", "{{ messages[-1].content }} <think>\n");
  for (const bool colour : {true, false}) {
    SCOPED_TRACE(colour);
    TerminalOptions started = options();
    started.arguments.insert(started.arguments.end(),
                             {"--chat-template", (folder_ / "think.jinja").string()});
    if (!colour) started.environment.emplace_back("NO_COLOR", "1");
    TerminalProcess chat(started);
    ASSERT_TRUE(chat.wait_for(kPrompt)) << chat.output();
    chat.type(std::string("Once upon a time") + kEnter);
    EXPECT_TRUE(chat.wait_for(colour ? "\x1b[2m" : "thinking: ")) << chat.output();
    EXPECT_TRUE(chat.wait_for(colour ? "\x1b[0m" : "\n"));
    EXPECT_TRUE(chat.wait_for(kPrompt));
    EXPECT_EQ(end(chat), 0);
    EXPECT_EQ(chat.output().find("\x1b[2m") != std::string::npos, colour);
  }
}

}  // namespace
}  // namespace quern::testing
