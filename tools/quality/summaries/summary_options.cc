#include "tools/quality/summaries/summary_options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "quern/text.h"
#include "tools/cli/generation_options.h"
#include "tools/cli/model_options.h"
#include "tools/cli/option_group.h"
#include "tools/cli/usage_error.h"
#include "tools/input/text_input.h"
#include "tools/output/json_output.h"
#include "tools/quality/engine_spec.h"
#include "tools/quality/rouge/rouge_report.h"

namespace quern::tools {
namespace {

constexpr int kUsualInputLength = 923;
constexpr int kUsualNewTokens = 100;
/// A port is accepted when its scores are less than a point below the original's.
constexpr float kUsualRougeDrop = 1;

void parse_style(const std::string& option, const std::string& value, SummarizeOptions& options) {
  for (const PromptStyle style : {PromptStyle::tldr, PromptStyle::chat}) {
    if (value == prompt_style_name(style)) {
      options.prompt_style = style;
      return;
    }
  }
  usage_error("{}: expected tldr or chat, got {}", option, quoted_name(value));
}

struct ReferenceSwitches {
  const CLI::Option* reference = nullptr;
  const CLI::Option* reference_file = nullptr;
};

ReferenceSwitches add_reference_options(CLI::App& app, SummarizeOptions& options,
                                        std::string& reference) {
  OptionGroup group(app, "Reference and checks");
  ReferenceSwitches switches;
  switches.reference = group.text(
      {"--reference", "ENGINE", "Compare with this device and dtype of ours, such as cpu-float32"},
      reference);
  switches.reference_file =
      group.text({"--reference-file", "FILE",
                  "Compare with the original model's summaries, from tools/hf_reference.py"},
                 options.reference_file);
  group.flag("--stemmer", options.stemmer, "Score the stems of words (Porter's)");
  group.flag("--check-accuracy", options.check_accuracy,
             "Exit with 3 if a bound below does not hold (a reference's default: a drop of 1)");
  constexpr NumberRange kPoint{0, kPoints, true, "points, from 0 to 100"};
  group.number({"--rouge1-threshold", "POINTS", "Least rouge1, as F"}, options.rouge1_threshold,
               kPoint);
  group.number(
      {"--max-rouge-drop", "POINTS", "How far any of the four may be below the reference's"},
      options.max_rouge_drop, kPoint);
  return switches;
}

void settle_reference(SummarizeOptions& options, const std::string& reference) {
  if (reference.empty()) return;
  options.reference = parse_engine_spec(reference, options.engine);
  if (!options.reference) {
    usage_error("--reference: expected a device and dtype such as cpu-float32, got {}",
                quoted_name(reference));
  }
}

void settle_checks(SummarizeOptions& options) {
  if (options.rouge1_threshold || options.max_rouge_drop) options.check_accuracy = true;
  if (options.max_rouge_drop && !options.has_reference()) {
    usage_error("--max-rouge-drop needs a reference: --reference or --reference-file");
  }
  if (!options.check_accuracy) return;
  if (!options.has_reference() && !options.rouge1_threshold) {
    usage_error("--check-accuracy needs --rouge1-threshold or a reference");
  }
  if (options.has_reference() && !options.max_rouge_drop) options.max_rouge_drop = kUsualRougeDrop;
}

void settle_sampling(SamplingParams& sampling) {
  sampling.greedy = !sampling.temperature && !sets_filters(sampling);
}

}  // namespace

std::vector<const CLI::Option*> add_article_options(CLI::App& app, SummarizeOptions& options) {
  ArticleSource& source = options.source;
  OptionGroup group(app, "Data set");
  group.text(
      {"--dataset", "FILE", "Articles as JSON lines or CSV; docs/accuracy.md says where from"},
      source.file);
  return {
      group.text({"--article-field", "NAME", "Where a record has its article (default: article)"},
                 source.article.name),
      group.text({"--highlights-field", "NAME", "Where it has its summary (default: highlights)"},
                 source.highlights.name),
      group.integer({"--max-articles", "N", "Take the first N articles (default: 20)"},
                    source.max_articles, 1),
      group.flag("--skip-bad", source.skip_bad, "Skip and count bad records instead of failing"),
      group.value({"--prompt-style", "STYLE",
                   "tldr or chat (default: chat where the tokenizer knows ChatML, else tldr)"},
                  [&options](const std::string& option, const std::string& value) {
                    parse_style(option, value, options);
                  }),
      group.integer(
          {"--max-input-length", "N",
           "Keep the last N tokens of an article (default: 923, or what the context allows)"},
          options.max_input_length, 1)};
}

std::function<void()> add_summarize_options(CLI::App& app, SummarizeOptions& options) {
  const auto reference = std::make_shared<std::string>();
  add_model_option(app, options.model);
  add_article_options(app, options);
  const ReferenceSwitches switches = add_reference_options(app, options, *reference);
  const auto check_generation = add_generation_options(
      app, options.request,
      {.sampling = "greedy", .max_new_tokens = std::to_string(kUsualNewTokens)});
  OptionGroup output(app, "Output");
  output.text({"-o,--output", "FILE", "Keep every summary as JSON lines; a --reference-file too"},
              options.output_file);
  add_output_options(app, options.output);
  const CLI::Option* max_seqs = add_engine_options(app, options.engine);
  return [=, &options] {
    if (options.source.file.empty()) usage_error("summarize needs --dataset FILE");
    reject_with(switches.reference, {switches.reference_file});
    reject_stdin_twice({{"--dataset", options.source.file},
                        {"--reference-file", options.reference_file.value_or("")}});
    check_generation();
    options.max_seqs_given = max_seqs->count() != 0;
    settle_sampling(options.request.sampling);
    settle_reference(options, *reference);
    settle_checks(options);
  };
}

SummaryLengths summary_lengths(const SummarizeOptions& options, int context) {
  const int max_new_tokens = options.request.max_new_tokens.value_or(kUsualNewTokens);
  const int room = context - max_new_tokens;
  if (room < 1) {
    usage_error("--max-new-tokens {}: a context of {} tokens leaves none for a prompt",
                max_new_tokens, context);
  }
  if (options.max_input_length && *options.max_input_length > room) {
    usage_error(
        "--max-input-length {} and --max-new-tokens {}: expected at most {} together, the context",
        *options.max_input_length, max_new_tokens, context);
  }
  return {options.max_input_length.value_or(std::min(kUsualInputLength, room)), max_new_tokens};
}

std::vector<Check> summary_checks(const SummarizeOptions& options, const SummaryReport& report) {
  std::vector<Check> checks;
  if (options.rouge1_threshold) {
    const double rouge1 = mean_of(rouge::fmeasures(report.engine.scores, 0));
    checks.push_back(
        {"rouge1-threshold", kPoints * rouge1, shortest(*options.rouge1_threshold), true});
  }
  if (options.max_rouge_drop && report.reference) {
    const auto differences = rouge_differences(report.engine.scores, report.reference->scores);
    const auto worst = std::min_element(
        differences.begin(), differences.end(),
        [](const RougeDifference& a, const RougeDifference& b) { return a.mean < b.mean; });
    checks.push_back({"max-rouge-drop", 0 - worst->mean, shortest(*options.max_rouge_drop)});
  }
  // An engine that failed must not pass, nor serve as a reference.
  const std::size_t num_failed =
      report.engine.num_failed + (report.reference ? report.reference->num_failed : 0);
  if (num_failed > 0) checks.push_back({"failed-summaries", static_cast<double>(num_failed), 0});
  return checks;
}

}  // namespace quern::tools
