#include "tools/quality/rouge/rouge.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "tools/cli/fail.h"
#include "tools/cli/option_group.h"
#include "tools/cli/usage_error.h"
#include "tools/output/console.h"
#include "tools/output/output_options.h"
#include "tools/quality/data/records.h"
#include "tools/quality/data/text_field.h"
#include "tools/quality/rouge/rouge_report.h"
#include "tools/quern/command.h"

namespace quern::tools {
namespace {

/// One of the two files, and where its records have their text.
struct TextSource {
  std::string file;
  TextField field;
};

struct RougeOptions {
  TextSource predictions = {"", {RecordReader::kLineKey, "--prediction-field"}};
  TextSource references = {"", {RecordReader::kLineKey, "--reference-field"}};
  bool stemmer = false;
  bool per_pair = false;
  std::uint64_t seed = 0;
  OutputOptions output;
};

std::vector<std::string> read_texts(const TextSource& source) {
  RecordReader reader(source.file);
  std::vector<std::string> texts;
  while (const auto record = reader.next()) texts.push_back(text_of(*record, source.field));
  return texts;
}

std::vector<rouge::Scores> score_files(const RougeOptions& options) {
  const std::vector<std::string> predictions = read_texts(options.predictions);
  const std::vector<std::string> references = read_texts(options.references);
  if (predictions.size() != references.size()) {
    fail(ErrorCode::bad_file, "{} has {} texts and {} has {}: expected a pair a line",
         input_name(options.predictions.file), predictions.size(),
         input_name(options.references.file), references.size());
  }
  if (predictions.empty()) {
    fail(ErrorCode::bad_file, "{}: expected at least one text, got none",
         input_name(options.predictions.file));
  }
  std::vector<rouge::Scores> scores;
  scores.reserve(predictions.size());
  for (std::size_t i = 0; i < predictions.size(); ++i) {
    scores.push_back(rouge::score_pair(predictions[i], references[i], options.stemmer));
  }
  return scores;
}

OrderedJson rouge_json(const std::vector<rouge::Scores>& scores, const RougeSummaries& summaries,
                       bool per_pair) {
  OrderedJson json = {{"num_pairs", scores.size()}, {"scores", summaries_json(summaries)}};
  if (!per_pair) return json;
  json["pairs"] = OrderedJson::array();
  for (const rouge::Scores& pair : scores) json["pairs"].push_back(scores_json(pair));
  return json;
}

std::string rouge_text(const std::vector<rouge::Scores>& scores, const RougeSummaries& summaries,
                       bool per_pair) {
  std::string text = fmt::format("{} pairs, in points\n", scores.size());
  text += summaries_table(summaries);
  if (!per_pair) return text;
  text += fmt::format("\nF of pair {:>10} {:>9} {:>9} {:>9}\n", rouge::kRougeNames[0],
                      rouge::kRougeNames[1], rouge::kRougeNames[2], rouge::kRougeNames[3]);
  for (std::size_t i = 0; i < scores.size(); ++i) {
    text += fmt::format("{:>9}", i + 1);
    for (const rouge::Score& score : scores[i]) {
      text += fmt::format(" {:>9.2f}", kPoints * score.fmeasure);
    }
    text += '\n';
  }
  return text;
}

ExitCode run_rouge(const RougeOptions& options) {
  const std::vector<rouge::Scores> scores = score_files(options);
  const RougeSummaries summaries = rouge::summarize_scores(scores, {.seed = options.seed});
  if (options.output.json) {
    print_json(rouge_json(scores, summaries, options.per_pair));
  } else {
    write_stdout(rouge_text(scores, summaries, options.per_pair));
  }
  return ExitCode::done;
}

void require_files(const RougeOptions& options) {
  if (options.predictions.file.empty()) usage_error("rouge needs --predictions FILE");
  if (options.references.file.empty()) usage_error("rouge needs --references FILE");
  reject_stdin_twice(
      {{"--predictions", options.predictions.file}, {"--references", options.references.file}});
}

}  // namespace

Action add_rouge(CLI::App& app) {
  const auto options = std::make_shared<RougeOptions>();
  OptionGroup texts(app, "Texts");
  texts.text({"--predictions", "FILE", "JSON lines with a text, CSV, or plain text, a pair a line"},
             options->predictions.file);
  texts.text({"--references", "FILE", "The reference texts, in the same order"},
             options->references.file);
  texts.text({"--prediction-field", "NAME", "Where a record has its text (default: text)"},
             options->predictions.field.name);
  texts.text({"--reference-field", "NAME", "The same of the references (default: text)"},
             options->references.field.name);
  OptionGroup scoring(app, "Scoring");
  scoring.flag("--stemmer", options->stemmer, "Compare the stems of words (Porter's)");
  scoring.value({"--seed", "N", "Of the interval's resamples (default: 0)"},
                [options](const std::string& option, const std::string& value) {
                  options->seed = parse_unsigned(option, value);
                });
  OptionGroup output(app, "Output");
  output.flag("--per-pair", options->per_pair, "Show every pair's scores too");
  add_output_options(app, options->output);
  return [=] {
    require_files(*options);
    apply_output_options(options->output);
    return run_rouge(*options);
  };
}

}  // namespace quern::tools
