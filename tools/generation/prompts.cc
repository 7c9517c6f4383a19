#include "tools/generation/prompts.h"

#include <CLI/CLI.hpp>
#include <utility>

#include "tools/cli/fail.h"
#include "tools/cli/option_group.h"
#include "tools/cli/usage_error.h"
#include "tools/input/text_input.h"
#include "tools/output/console.h"

namespace quern::tools {
namespace {

void drop_trailing_newline(std::string& text) {
  if (!text.ends_with('\n')) return;
  text.pop_back();
  if (text.ends_with('\r')) text.pop_back();
}

}  // namespace

PromptSources add_prompt_options(CLI::App& app, PromptOptions& options, const std::string& title) {
  OptionGroup group(app, title);
  PromptSources sources;
  sources.prompt = group.values({"-p,--prompt", "TEXT", "A prompt; give it again for more"},
                                [&options](const std::string& option, const std::string& value) {
                                  options.given.push_back({value, {}, option});
                                });
  sources.prompt_ids =
      group.values({"--prompt-ids", "IDS", "A prompt as token ids, such as 1,2,3; no BOS is added"},
                   [&options](const std::string& option, const std::string& value) {
                     options.given.push_back({"", parse_ids(option, value), option});
                   });
  const auto assign_file = [](std::optional<std::string>& target) {
    return [&target](const std::string& option, const std::string& value) {
      if (value.empty()) usage_error("{}: expected a file, got ''", option);
      target = value;
    };
  };
  sources.prompt_file = group.value(
      {"--prompt-file", "FILE",
       "One prompt: the file's text without a trailing newline; - is standard input, here and "
       "wherever a text is read"},
      assign_file(options.prompt_file));
  sources.prompts_file =
      group.value({"--prompts-file", "FILE",
                   "Many prompts: JSON lines of {\"prompt\": …} or {\"prompt_ids\": …}, each with "
                   "what it wants "
                   "of max_new_tokens, temperature, filters such as top_p, seed and stop"},
                  assign_file(options.prompts_file));
  return sources;
}

std::vector<const CLI::Option*> add_encode_options(CLI::App& app, bool& no_bos,
                                                   bool& no_parse_special) {
  OptionGroup group(app, "Prompt (or standard input)");
  const CLI::Option* bos =
      group.flag("--no-bos", no_bos, "Put no BOS in front, whatever the tokenizer's config says");
  const CLI::Option* special = group.flag("--no-parse-special", no_parse_special,
                                          "Take special tokens written in a prompt as plain text");
  return {bos, special};
}

std::string read_stdin() {
  if (is_terminal(kStdin)) {
    usage_error("no prompt: give one with --prompt TEXT, or pipe it to standard input");
  }
  std::string text = read_utf8_file(kStdinName);
  drop_trailing_newline(text);
  return text;
}

void reject_empty(const std::vector<Prompt>& prompts) {
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    const Prompt& prompt = prompts[i];
    if (!prompt.text.empty() || !prompt.ids.empty() || !prompt.messages.empty()) continue;
    const std::string which =
        prompts.size() == 1 ? "" : fmt::format(", prompt {} of {}", i + 1, prompts.size());
    const bool piped = prompts[i].source == input_name(kStdinName);
    fail(ErrorCode::invalid_argument, "{}{}: expected some text or token ids, got none{}",
         prompts[i].source, which, piped ? "; --prompt TEXT gives a prompt" : "");
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

std::vector<Prompt> read_prompts(const PromptOptions& options, bool takes_messages) {
  if (options.prompt_file) {
    std::string text = read_utf8_file(*options.prompt_file);
    drop_trailing_newline(text);
    return {{std::move(text), {}, "--prompt-file " + input_name(*options.prompt_file)}};
  }
  if (options.prompts_file) {
    const std::string& file = *options.prompts_file;
    return parse_prompt_lines(read_utf8_file(file), input_name(file), takes_messages);
  }
  if (options.given.empty()) return {{read_stdin(), {}, input_name(kStdinName)}};
  for (const Prompt& prompt : options.given) require_utf8(prompt.text, "--prompt");
  return options.given;
}

}  // namespace quern::tools
