#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/cli/cli_forward.h"

namespace quern::tools {

/// One prompt: a text, or ids where `ids` is not empty.
struct Prompt {
  std::string text;
  std::vector<std::int32_t> ids;
};

/// Where prompts come from; one source at a time. None of them means standard input.
struct PromptOptions {
  std::vector<Prompt> given;                ///< --prompt, --prompt-ids
  std::optional<std::string> prompt_file;   ///< one text
  std::optional<std::string> prompts_file;  ///< JSON lines
};

/// The options of the sources, to look for contradictions in.
struct PromptSources {
  CLI::Option* prompt = nullptr;
  CLI::Option* prompt_ids = nullptr;
  CLI::Option* prompt_file = nullptr;
  CLI::Option* prompts_file = nullptr;
  std::vector<const CLI::Option*> all() const {
    return {prompt, prompt_ids, prompt_file, prompts_file};
  }
};

/// Adds the sources to a subcommand, under a heading that says what holds without them; `options`
/// must live as long as it.
PromptSources add_prompt_options(CLI::App& app, PromptOptions& options,
                                 const std::string& title = "Prompt (or standard input)");

/// Adds --no-bos and --no-parse-special.
void add_encode_options(CLI::App& app, bool& no_bos, bool& no_parse_special);

/// Reads the prompts, which may be empty. Errors: UsageError when there is none and standard input
/// is a terminal; not_found and bad_file naming the file, the line and what is wrong;
/// invalid_argument for text that is not UTF-8.
std::vector<Prompt> read_prompts(const PromptOptions& options);

/// Throws invalid_argument when a prompt is empty, naming which: there is nothing to continue.
void reject_empty(const std::vector<Prompt>& prompts);

/// Throws a UsageError when a prompt is a text: a shape's random weights have no tokenizer.
void reject_texts(const std::vector<Prompt>& prompts);

/// The whole of standard input, without a single trailing newline. Errors: UsageError on a
/// terminal; bad_file.
std::string read_stdin();

/// The prompts of JSON lines: {"prompt": "…"} or {"prompt_ids": […]} on each that is not blank;
/// other keys are ignored. `file` is what errors call the text. Errors: bad_file.
std::vector<Prompt> parse_prompt_lines(std::string_view text, const std::string& file);

}  // namespace quern::tools
