#include "tools/quality/accuracy/accuracy_options.h"

#include <CLI/CLI.hpp>

#include "quern/text.h"
#include "tools/cli/model_options.h"
#include "tools/cli/option_group.h"
#include "tools/cli/usage_error.h"
#include "tools/input/text_input.h"
#include "tools/quality/engine_spec.h"

namespace quern::tools {
namespace {

constexpr const char* kPromptGroup = "Prompt, node by node (default: where the text begins)";

/// Returns what needs a data set.
const CLI::Option* add_reference_options(CLI::App& app, AccuracyOptions& options) {
  OptionGroup group(app, "Reference");
  group.text({"--reference", "ENGINE",
              "A device and dtype of ours to compare with (default: cpu-float32)"},
             options.reference);
  group.text({"--against", "MODEL",
              "The model that this one was quantized from, in floats: perplexity and summaries are "
              "held against its own, by the bounds of the format; nodes are not compared"},
             options.against);
  group.text({"--reference-activations", "FILE",
              "The original model's values in place of ours, from tools/hf_activations.py"},
             options.reference_activations);
  group.text({"--reference-logits", "FILE",
              "Its logits of the text, from tools/hf_reference.py perplexity"},
             options.reference_logits);
  return group.text({"--reference-summaries", "FILE",
                     "Its summaries, from tools/hf_reference.py summaries; needs --dataset"},
                    options.reference_summaries);
}

void settle_reference(AccuracyOptions& options) {
  const auto engine = parse_engine_spec(options.reference, options.engine);
  if (!engine) {
    usage_error("--reference: expected a device and dtype such as cpu-float32, got {}",
                quoted_name(options.reference));
  }
  options.reference_engine = *engine;
}

/// Returns what needs a data set.
std::vector<const CLI::Option*> add_parts(CLI::App& app, AccuracyOptions& options) {
  add_text_options(app, options.perplexity, " (default: a fairy tale)");
  std::vector<const CLI::Option*> about_articles = add_article_options(app, options.summaries);
  OptionGroup group(app, "Data set");
  about_articles.push_back(
      group.integer({"-n,--max-new-tokens", "N", "Tokens of a summary at most (default: 100)"},
                    options.summaries.request.max_new_tokens, 1));
  return about_articles;
}

}  // namespace

std::function<void()> add_accuracy_options(CLI::App& app, AccuracyOptions& options) {
  add_model_option(app, options.model);
  const CLI::Option* reference_summaries = add_reference_options(app, options);
  OptionGroup checks(app, "Checks");
  checks.text({"--bounds", "FILE", "What must hold, as JSON (default: see docs/accuracy.md)"},
              options.bounds_file);
  const PromptSources sources = add_prompt_options(app, options.prompts, kPromptGroup);
  OptionGroup prompt(app, kPromptGroup);
  prompt.integer({"--decode-steps", "N", "Steps of one token after the prompts (default: 2)"},
                 options.decode_steps, 0);
  std::vector<const CLI::Option*> about_articles = add_parts(app, options);
  about_articles.push_back(reference_summaries);
  OptionGroup output(app, "Output");
  output.text({"-o,--output", "FILE", "Write the page to this file, and print the checks alone"},
              options.output_file);
  add_output_options(app, options.output);
  const CLI::Option* max_seqs = add_engine_options(app, options.engine);
  return [=, &options] {
    reject_together(sources.all());
    reject_stdin_twice({{"--file", options.perplexity.file},
                        {"--bounds", options.bounds_file},
                        {"--dataset", options.summaries.source.file},
                        {"--reference-summaries", options.reference_summaries.value_or("")},
                        {"--prompt-file", options.prompts.prompt_file.value_or("")},
                        {"--prompts-file", options.prompts.prompts_file.value_or("")}});
    for (const CLI::Option* option : about_articles) {
      if (option->count() != 0 && options.summaries.source.file.empty()) {
        usage_error("{} needs --dataset", option->get_name());
      }
    }
    if (options.against && (options.has_reference_file() || options.has_prompts())) {
      usage_error("--against and {} contradict each other: the reference is that model's text",
                  options.has_prompts() ? "a prompt" : "a reference file");
    }
    options.max_seqs_given = max_seqs->count() != 0;
    settle_reference(options);
  };
}

}  // namespace quern::tools
