#include "tools/generation/prompts.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cerrno>
#include <string_view>
#include <system_error>
#include <utility>

#include "tools/cli/fail.h"
#include "tools/cli/option_group.h"
#include "tools/cli/usage_error.h"
#include "tools/input/json_input.h"
#include "tools/input/text_input.h"
#include "tools/output/console.h"

namespace quern::tools {
namespace {

void drop_trailing_newline(std::string& text) {
  if (!text.ends_with('\n')) return;
  text.pop_back();
  if (text.ends_with('\r')) text.pop_back();
}

Prompt parse_prompt_line(std::string_view line, const std::string& place) {
  const Json json = parse_json(line, place);
  const JsonObject object(json, place);
  if (object.has("prompt") == object.has("prompt_ids")) {
    fail(ErrorCode::bad_file, "{}: expected one of the keys 'prompt' and 'prompt_ids', got {}",
         place, object.has("prompt") ? "both" : "neither");
  }
  if (object.has("prompt")) return {object.required_string("prompt"), {}};
  Prompt prompt;
  prompt.ids = object.required_ids("prompt_ids");
  if (prompt.ids.empty()) object.reject("prompt_ids", "at least one token id");
  return prompt;
}

}  // namespace

PromptSources add_prompt_options(CLI::App& app, PromptOptions& options, const std::string& title) {
  OptionGroup group(app, title);
  PromptSources sources;
  sources.prompt = group.values({"-p,--prompt", "TEXT", "A prompt; give it again for more"},
                                [&options](const std::string&, const std::string& value) {
                                  options.given.push_back({value, {}});
                                });
  sources.prompt_ids =
      group.values({"--prompt-ids", "IDS", "A prompt as token ids, such as 1,2,3; no BOS is added"},
                   [&options](const std::string& option, const std::string& value) {
                     options.given.push_back({"", parse_ids(option, value)});
                   });
  const auto assign_file = [](std::optional<std::string>& target) {
    return [&target](const std::string&, const std::string& value) { target = value; };
  };
  sources.prompt_file = group.value({"--prompt-file", "FILE", "One prompt, the file's whole text"},
                                    assign_file(options.prompt_file));
  sources.prompts_file =
      group.value({"--prompts-file", "FILE",
                   "Many prompts: JSON lines of {\"prompt\": …} or {\"prompt_ids\": …}"},
                  assign_file(options.prompts_file));
  return sources;
}

void add_encode_options(CLI::App& app, bool& no_bos, bool& no_parse_special) {
  OptionGroup group(app, "Prompt (or standard input)");
  group.flag("--no-bos", no_bos, "Put no BOS in front, whatever the tokenizer's config says");
  group.flag("--no-parse-special", no_parse_special,
             "Take special tokens written in a prompt as plain text");
}

std::string read_stdin() {
  if (is_terminal(kStdin)) {
    usage_error("no prompt: give one with --prompt TEXT, or pipe it to standard input");
  }
  std::string text;
  std::array<char, 65536> chunk{};
  while (true) {
    const ssize_t count = ::read(kStdin, chunk.data(), chunk.size());
    if (count == 0) break;
    if (count < 0) {
      if (errno == EINTR) continue;
      fail(ErrorCode::bad_file, "standard input: cannot read: {}",
           std::generic_category().message(errno));
    }
    text.append(chunk.data(), static_cast<std::size_t>(count));
    if (text.size() > kMaxTextBytes) {
      fail(ErrorCode::bad_file, "standard input: expected at most {} bytes, got more",
           kMaxTextBytes);
    }
  }
  drop_trailing_newline(text);
  return text;
}

std::vector<Prompt> parse_prompt_lines(std::string_view text, const std::string& file) {
  std::vector<Prompt> prompts;
  for (int line_number = 1; !text.empty(); ++line_number) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    prompts.push_back(parse_prompt_line(line, fmt::format("{}:{}", file, line_number)));
  }
  if (prompts.empty())
    fail(ErrorCode::bad_file, "{}: expected at least one prompt, got none", file);
  return prompts;
}

void reject_empty(const std::vector<Prompt>& prompts) {
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    if (!prompts[i].text.empty() || !prompts[i].ids.empty()) continue;
    fail(ErrorCode::invalid_argument, "prompt {} of {}: expected some text or token ids, got none",
         i + 1, prompts.size());
  }
}

void reject_texts(const std::vector<Prompt>& prompts) {
  for (const Prompt& prompt : prompts) {
    if (prompt.ids.empty()) {
      usage_error(
          "--shape has no tokenizer: expected prompts as token ids (--prompt-ids, or prompt_ids "
          "lines in --prompts-file), got text");
    }
  }
}

std::vector<Prompt> read_prompts(const PromptOptions& options) {
  if (options.prompt_file) {
    std::string text = read_utf8_file(*options.prompt_file);
    drop_trailing_newline(text);
    return {{std::move(text), {}}};
  }
  if (options.prompts_file) {
    return parse_prompt_lines(read_utf8_file(*options.prompts_file), *options.prompts_file);
  }
  if (options.given.empty()) {
    std::string text = read_stdin();
    require_utf8(text, "standard input");
    return {{std::move(text), {}}};
  }
  for (const Prompt& prompt : options.given) require_utf8(prompt.text, "--prompt");
  return options.given;
}

}  // namespace quern::tools
