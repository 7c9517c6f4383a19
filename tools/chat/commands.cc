#include "tools/chat/commands.h"

#include <fmt/format.h>

#include <array>
#include <vector>

#include "quern/text.h"
#include "tools/chat/messages_file.h"
#include "tools/chat/settings.h"
#include "tools/cli/parsing/nearest_name.h"
#include "tools/cli/usage_error.h"
#include "tools/input/trimmed_text.h"

namespace quern::tools {
namespace {

constexpr std::size_t kMaxShownBytes = 200;

std::string counted(std::size_t count, const char* what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

bool reset(const CommandHost& host, const std::string& /*argument*/) {
  host.session->reset();
  host.print("A new conversation.\n");
  return true;
}

bool system(const CommandHost& host, const std::string& argument) {
  if (!argument.empty()) {
    host.session->set_system(argument);
    return true;
  }
  const auto text = host.session->system();
  host.print(text ? *text + "\n" : "No system message but the template's own.\n");
  return true;
}

bool undo(const CommandHost& host, const std::string& /*argument*/) {
  const auto text = host.session->undo();
  host.print(text ? fmt::format("Took back: {}\n", shortened_text(*text, kMaxShownBytes))
                  : "There is nothing to take back.\n");
  return true;
}

bool regen(const CommandHost& host, const std::string& /*argument*/) {
  host.regenerate();
  return true;
}

bool save(const CommandHost& host, const std::string& argument) {
  if (argument.empty()) usage_error("/save: expected a file, got none");
  const Messages& messages = host.session->messages();
  write_message_lines(messages, argument);
  host.print(fmt::format("Saved {}.\n", counted(messages.size(), "message")));
  return true;
}

bool load(const CommandHost& host, const std::string& argument) {
  if (argument.empty() || argument == "-") {
    usage_error("/load: expected a file, got {}", argument.empty() ? "none" : "'-'");
  }
  Messages messages = read_message_lines(argument);
  const std::size_t count = messages.size();
  const bool waits = count > 0 && messages.back()["role"] == "user";
  host.session->set_messages(std::move(messages));
  host.print(fmt::format("Loaded {}{}.\n", counted(count, "message"),
                         waits ? "; the last waits for an answer: /regen gives it" : ""));
  return true;
}

bool stats(const CommandHost& host, const std::string& /*argument*/) {
  const ChatSession& session = *host.session;
  std::string text = fmt::format("conversation  {}, {} left out of the last prompt\n",
                                 counted(session.num_turns(), "turn"), session.num_left_out());
  if (const auto& stats = session.stats()) {
    text += fmt::format("last prompt   {}: {} from the cache, {} prefilled; at most {} fit\n",
                        counted(stats->prompt_tokens, "token"), stats->cached_tokens,
                        stats->prompt_tokens - stats->cached_tokens, session.max_prompt_tokens());
    text += fmt::format("last answer   {}, first after {:.0f} ms, {:.1f} tokens/s, {}{}\n",
                        counted(stats->output_tokens, "token"), stats->first_token_ms,
                        stats->decode_tokens_per_s, finish_reason_name(stats->finish_reason),
                        stats->seed ? fmt::format(", seed {}", *stats->seed) : "");
  }
  const Timing timing = host.engine->timing();
  text += fmt::format(
      "in all        {} prefilled, {} from the cache, {} decoded after each first\n",
      counted(timing.prefill_tokens, "token"), timing.cached_prompt_tokens, timing.decode_tokens);
  host.print(text);
  return true;
}

bool set(const CommandHost& host, const std::string& argument) {
  Request& request = host.session->request();
  if (argument.empty()) {
    Request shown = request;
    shown.prompt_ids = {0};
    host.print(settings_text(host.engine->resolve(shown)));
    return true;
  }
  const std::size_t space = argument.find_first_of(" =");
  if (space == std::string::npos) {
    usage_error("/set: expected NAME VALUE, got {}", quoted_name(argument));
  }
  Request changed = request;
  set_setting(changed, argument.substr(0, space),
              std::string(trimmed_text(argument.substr(space + 1))));
  Request checked = changed;
  checked.prompt_ids = {0};
  static_cast<void>(host.engine->resolve(checked));  // refuses what the engine would
  request = changed;
  return true;
}

bool quit(const CommandHost& /*host*/, const std::string& /*argument*/) { return false; }
bool help(const CommandHost& host, const std::string& argument);

struct ChatCommand {
  std::string_view name;
  std::string_view argument;  ///< what it takes, or nothing
  std::string_view description;
  bool (*run)(const CommandHost& host, const std::string& argument);
};

constexpr std::array<ChatCommand, 11> kChatCommands = {{
    {"/help", "", "show this", help},
    {"/reset", "", "begin a new conversation; the system message stays", reset},
    {"/system", "[TEXT]", "show or set the system message", system},
    {"/undo", "", "take back your last message and its answer", undo},
    {"/regen", "", "answer your last message again", regen},
    {"/save", "FILE", "write the conversation as JSON lines", save},
    {"/load", "FILE", "go on with such a conversation", load},
    {"/stats", "", "tokens and speed of the last answer", stats},
    {"/set", "[NAME VALUE]", "show or set what answers are sampled with; VALUE may be default",
     set},
    {"/quit", "", "end, as the end of input does (Ctrl-D)", quit},
    {"/exit", "", "the same", quit},
}};

bool help(const CommandHost& host, const std::string& /*argument*/) {
  std::string text;
  for (const ChatCommand& command : kChatCommands) {
    text += fmt::format("{:<20} {}\n", fmt::format("{} {}", command.name, command.argument),
                        command.description);
  }
  text += fmt::format("/set knows           {}\n", setting_names());
  text +=
      "A line that ends with \\ goes on in the next one; Alt-Enter begins a new line, pasted\n"
      "lines stay together. // begins a message with a slash. Ctrl-C stops an answer.\n";
  host.print(text);
  return true;
}

}  // namespace

bool is_command(std::string_view line) { return line.starts_with('/') && !line.starts_with("//"); }

bool run_command(const CommandHost& host, const std::string& line) {
  const std::string_view text = trimmed_text(line);
  const std::string name(text.substr(0, text.find_first_of(" \t\n")));
  const std::string argument(trimmed_text(text.substr(name.size())));
  for (const ChatCommand& command : kChatCommands) {
    if (command.name != name) continue;
    if (command.argument.empty() && !argument.empty()) {
      usage_error("{}: expected nothing behind it, got {}", name, quoted_name(argument));
    }
    return command.run(host, argument);
  }
  std::vector<std::string> names;
  names.reserve(std::size(kChatCommands));
  for (const ChatCommand& command : kChatCommands) names.emplace_back(command.name);
  usage_error("unknown command {}{}; /help lists them, // begins a message with a slash",
              quoted_name(name), suggestion(name, names));
}

}  // namespace quern::tools
