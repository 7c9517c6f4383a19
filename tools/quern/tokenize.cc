#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "quern/files.h"
#include "quern/text.h"
#include "quern/tokenizer.h"
#include "tools/cli/fail.h"
#include "tools/cli/model_options.h"
#include "tools/cli/option_group.h"
#include "tools/generation/prompts.h"
#include "tools/output/console.h"
#include "tools/output/json_output.h"
#include "tools/output/output_options.h"
#include "tools/quern/command.h"

namespace quern::tools {
namespace {

struct TokenizeOptions {
  std::string model;
  PromptOptions prompts;
  bool decode = false;
  bool keep_special = false;
  bool no_bos = false;
  bool no_parse_special = false;
  OutputOptions output;
};

std::vector<std::int32_t> encode(const Tokenizer& tokenizer, const TokenizeOptions& options,
                                 const Prompt& prompt) {
  if (!prompt.ids.empty()) return prompt.ids;
  EncodeOptions encode_options;
  encode_options.parse_special = !options.no_parse_special;
  if (options.no_bos) encode_options.add_bos = false;
  return tokenizer.encode(prompt.text, encode_options);
}

std::string decode(const Tokenizer& tokenizer, const TokenizeOptions& options,
                   const Prompt& prompt) {
  if (!prompt.ids.empty()) return tokenizer.decode(prompt.ids, !options.keep_special);
  const auto ids = read_ids(prompt.text);
  if (!ids) {
    fail(ErrorCode::invalid_argument, "{}: expected {} to decode, got {}", prompt.source,
         kExpectedIds, quoted_name(prompt.text));
  }
  return tokenizer.decode(*ids, !options.keep_special);
}

/// One prompt's answer alone, several as {"results": […]}.
void print_results(std::vector<OrderedJson> results) {
  print_json(results.size() == 1 ? std::move(results.front()) : OrderedJson{{"results", results}});
}

ExitCode tokenize(const TokenizeOptions& options) {
  const std::string model = chosen_model(options.model);
  const std::vector<Prompt> prompts = read_prompts(options.prompts);
  const auto tokenizer = Tokenizer::load(find_model_folder(model));
  std::vector<OrderedJson> results;
  std::string lines;
  for (const Prompt& prompt : prompts) {
    if (options.decode) {
      const std::string text = decode(*tokenizer, options, prompt);
      results.push_back({{"text", text}});
      lines += text + "\n";
    } else {
      const std::vector<std::int32_t> ids = encode(*tokenizer, options, prompt);
      results.push_back({{"ids", ids}});
      lines += fmt::format("{}\n", fmt::join(ids, ","));
    }
  }
  if (options.output.json) {
    print_results(std::move(results));
  } else {
    write_stdout(lines);
  }
  return ExitCode::done;
}

}  // namespace

Action add_tokenize(CLI::App& app) {
  const auto options = std::make_shared<TokenizeOptions>();
  add_model_option(app, options->model);
  const PromptSources sources = add_prompt_options(app, options->prompts);
  add_encode_options(app, options->no_bos, options->no_parse_special);
  OptionGroup group(app, "Decoding");
  const CLI::Option* decode =
      group
          .value({"--decode", "[IDS]",
                  "Print the text of these ids, or of those of --prompt-ids, --prompt-file or "
                  "standard "
                  "input"},
                 [options](const std::string& option, const std::string& value) {
                   // What the parser gives for a value that was left out, by its version.
                   if (value.empty() || value == "true") return;
                   options->prompts.given.push_back({"", parse_ids(option, value), option});
                 })
          ->expected(0, 1);
  group.flag("--keep-special", options->keep_special, "Let special tokens appear in the text");
  add_output_options(app, options->output);
  return [=] {
    reject_together(sources.all());
    options->decode = decode->count() != 0;
    reject_with(decode, {sources.prompt});
    apply_output_options(options->output);
    return tokenize(*options);
  };
}

}  // namespace quern::tools
