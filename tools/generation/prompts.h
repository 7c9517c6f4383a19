#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/cli/cli_forward.h"
#include "tools/generation/prompt_records.h"

namespace quern::tools {

/// Where prompts come from; one source at a time. None of them means standard input.
struct PromptOptions {
  std::vector<Prompt> given;                ///< --prompt, --prompt-ids
  std::optional<std::string> prompt_file;   ///< one text
  std::optional<std::string> prompts_file;  ///< JSON lines
};

/// The options of the sources, to be checked for contradictions.
struct PromptSources {
  CLI::Option* prompt = nullptr;
  CLI::Option* prompt_ids = nullptr;
  CLI::Option* prompt_file = nullptr;
  CLI::Option* prompts_file = nullptr;
  std::vector<const CLI::Option*> all() const {
    return {prompt, prompt_ids, prompt_file, prompts_file};
  }
};

/// Adds the sources to a subcommand, under a heading with the default; `options` must live as long
/// as it.
PromptSources add_prompt_options(CLI::App& app, PromptOptions& options,
                                 const std::string& title = "Prompt (or standard input)");

/// Adds --no-bos and --no-parse-special.
/// Returns both.
std::vector<const CLI::Option*> add_encode_options(CLI::App& app, bool& no_bos,
                                                   bool& no_parse_special);

/// Reads the prompts, which may be empty. Errors: UsageError when there is none and standard input
/// is a terminal; not_found and bad_file naming the file, the line and what is wrong;
/// invalid_argument for text that is not UTF-8. `takes_messages`: see parse_prompt_lines().
std::vector<Prompt> read_prompts(const PromptOptions& options, bool takes_messages = false);

/// Throws invalid_argument when a prompt is empty, naming its option or file: there is nothing to
/// continue.
void reject_empty(const std::vector<Prompt>& prompts);

/// Throws a UsageError when a prompt is a text: a shape's random weights have no tokenizer.
void reject_texts(const std::vector<Prompt>& prompts);

/// The whole of standard input, without a single trailing newline. Errors: UsageError on a
/// terminal; bad_file.
std::string read_stdin();

}  // namespace quern::tools
