#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "quern/files.h"
#include "quern/text.h"
#include "quern/tokenizer.h"
#include "tools/cli/fail.h"
#include "tools/cli/model_options.h"
#include "tools/cli/option_group.h"
#include "tools/generation/prompts.h"
#include "tools/output/console.h"
#include "tools/output/interrupt.h"
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

/// What becomes of one prompt: ids, or with --decode text.
struct Answer {
  std::vector<std::int32_t> ids;
  std::string text;
};

/// Writes in blocks, since the ids of a long text take much memory as text and more as JSON.
class Writer {
 public:
  void add(std::string_view text) {
    constexpr std::size_t kBlockBytes = std::size_t{1} << 20;
    buffer_ += text;
    if (buffer_.size() >= kBlockBytes) flush();
  }
  void add_ids(std::span<const std::int32_t> ids) {
    for (std::size_t i = 0; i < ids.size(); ++i) {
      if (i > 0) add(",");
      add(fmt::format_int(ids[i]).c_str());
    }
  }
  void flush() {
    write_stdout(buffer_);
    buffer_.clear();
  }

 private:
  std::string buffer_;
};

/// One prompt's answer alone, several as {"results": […]}.
void print_json_answers(const std::vector<Answer>& answers, bool decoded) {
  const WholeWrite whole;
  Writer writer;
  if (answers.size() != 1) writer.add("{\"results\":[");
  for (std::size_t i = 0; i < answers.size(); ++i) {
    if (i > 0) writer.add(",");
    if (decoded) {
      const std::string line = json_line({{"text", answers[i].text}});
      writer.add(std::string_view(line).substr(0, line.size() - 1));
    } else {
      writer.add("{\"ids\":[");
      writer.add_ids(answers[i].ids);
      writer.add("]}");
    }
  }
  writer.add(answers.size() != 1 ? "]}\n" : "\n");
  writer.flush();
}

void print_answers(const std::vector<Answer>& answers) {
  Writer writer;
  for (const Answer& answer : answers) {
    writer.add_ids(answer.ids);
    writer.add(answer.text);
    writer.add("\n");
  }
  writer.flush();
}

ExitCode tokenize(const TokenizeOptions& options) {
  const std::string model = chosen_model(options.model);
  const std::vector<Prompt> prompts = read_prompts(options.prompts);
  const auto tokenizer = Tokenizer::load(find_model_folder(model));
  std::vector<Answer> answers;
  for (const Prompt& prompt : prompts) {
    Answer& answer = answers.emplace_back();
    if (options.decode) {
      answer.text = decode(*tokenizer, options, prompt);
    } else {
      answer.ids = encode(*tokenizer, options, prompt);
    }
  }
  if (options.output.json) {
    print_json_answers(answers, options.decode);
  } else {
    print_answers(answers);
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
