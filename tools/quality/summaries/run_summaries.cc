#include "tools/quality/summaries/run_summaries.h"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "quern/error.h"
#include "quern/sampling.h"
#include "tools/cli/model_options.h"
#include "tools/generation/generate.h"
#include "tools/input/text_input.h"
#include "tools/output/load_progress.h"
#include "tools/output/progress.h"
#include "tools/output/write_file.h"
#include "tools/quality/engine_spec.h"
#include "tools/quality/rouge/rouge_report.h"
#include "tools/quality/summaries/summary_prompt.h"

namespace quern::tools {
namespace {

/// Runs engines over the articles' prompts.
class Summarizer {
 public:
  Summarizer(const SummarizeOptions& options, std::vector<Request> requests,
             const InterruptScope& interrupt)
      : options_(&options), requests_(std::move(requests)), interrupt_(&interrupt) {}

  /// The first request alone, so that what is done on first use is not timed.
  void warm_up(Engine& engine) const {
    const ProgressBar progress(1, shows_progress(options_->output), "articles to warm up");
    engine.generate(requests_.front(),
                    [&](const Update& /*update*/) { return !interrupt_->requested(); });
  }

  /// After an interruption: of the first articles only.
  SummarySet run(Engine& engine) {
    ProgressBar progress(requests_.size(), shows_progress(options_->output), "articles");
    GenerateObservers observers;
    observers.on_update = [&](std::size_t, const Update& update) {
      progress.add_tokens(update.token_ids.size());
    };
    observers.on_result = [&](std::size_t, const Result&) { progress.add_finished(); };
    observers.interrupted = [&] { return interrupt_->requested(); };
    SummarySet set;
    set.name = engine_name(engine.options());
    const auto begin = std::chrono::steady_clock::now();
    for (Result& result : generate_all(engine, requests_, observers)) {
      if (result.finish_reason == FinishReason::cancelled) break;
      if (result.finish_reason == FinishReason::error && ++set.num_failed == 1) {
        set.first_error = result.error;
      }
      set.summaries.push_back({std::move(result.text), std::move(result.output_ids)});
    }
    set.latency_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return set;
  }

 private:
  const SummarizeOptions* options_;
  std::vector<Request> requests_;
  const InterruptScope* interrupt_;
};

EngineOptions fitted(EngineOptions options, const SummarizeOptions& asked, SummaryLengths lengths,
                     std::size_t num_articles) {
  if (!asked.max_seqs_given) {
    // No memory for sequences that cannot come.
    options.max_seqs = static_cast<int>(std::min<std::size_t>(options.max_seqs, num_articles));
  }
  if (options.max_seq_len == 0) {
    options.max_seq_len = lengths.max_input_length + lengths.max_new_tokens;
  }
  return options;
}

void write_summaries(const std::string& path, const SummaryReport& report,
                     const std::vector<TokenIds>& prompts) {
  std::string lines;
  for (std::size_t i = 0; i < report.engine.summaries.size(); ++i) {
    const Summary& summary = report.engine.summaries[i];
    OrderedJson row = {{"article", report.articles.good[i].place},
                       {"highlights", report.articles.good[i].highlights},
                       {"prompt_ids", prompts[i]},
                       {"output_ids", summary.output_ids.value()},
                       {"text", summary.text},
                       {"scores", scores_json(report.engine.scores[i])}};
    if (report.reference && i < report.reference->summaries.size()) {
      row["reference_text"] = report.reference->summaries[i].text;
    }
    lines += json_line(row);
  }
  write_file(path, lines);
}

std::vector<Request> make_requests(const Request& like, int max_new_tokens,
                                   const std::vector<TokenIds>& prompts) {
  Request request = like;
  request.max_new_tokens = max_new_tokens;
  if (!request.sampling.seed) request.sampling.seed = random_seed();
  std::vector<Request> requests;
  for (const TokenIds& ids : prompts) {
    request.prompt_ids = ids;
    requests.push_back(request);
  }
  return requests;
}

}  // namespace

SummaryReport run_summaries(const SummarizeOptions& options, Articles articles,
                            const InterruptScope& interrupt) {
  if (options.output_file) check_writable(*options.output_file);
  const std::string model = chosen_model(options.model);
  const SummaryLengths lengths = summary_lengths(options, context_of(options.engine, model));
  const std::size_t count = articles.good.size();
  if (options.reference && !options.reference_model) {
    require_other_engine("--reference", model, options.engine, *options.reference);
  }
  const auto load = [&](const std::string& name, const EngineOptions& engine_options) {
    EngineOptions fitting = fitted(engine_options, options, lengths, count);
    fitting.on_load = load_progress(options.output, &interrupt);
    return Engine::load(name, fitting);
  };
  Engine engine = load(model, options.engine);
  const PromptStyle style = options.prompt_style.value_or(default_prompt_style(engine.tokenizer()));
  const SummaryPrompter prompter(engine.tokenizer(), style, lengths.max_input_length);
  std::vector<TokenIds> prompts;
  for (const Article& article : articles.good) prompts.push_back(prompter.prompt_ids(article.text));

  SummaryReport report;
  report.articles = std::move(articles);
  report.dataset = input_name(options.source.file);
  report.info = engine.info();
  report.options = engine.options();
  report.prompt_style = prompt_style_name(style);
  report.max_input_length = lengths.max_input_length;
  report.max_new_tokens = lengths.max_new_tokens;
  if (options.reference_file) {
    SummarySet& reference = report.reference.emplace();
    reference.name = input_name(*options.reference_file);
    reference.summaries = read_summaries(*options.reference_file, prompts);
  }
  std::vector<Request> requests = make_requests(options.request, lengths.max_new_tokens, prompts);
  if (!options.request.sampling.greedy) report.seed = requests.front().sampling.seed;
  Summarizer summarizer(options, std::move(requests), interrupt);
  summarizer.warm_up(engine);
  report.engine = summarizer.run(engine);
  report.timing = engine.timing();
  if (options.reference && !interrupt.requested()) {
    const std::string& name = options.reference_model.value_or(model);
    Engine reference = load(name, *options.reference);
    report.reference = summarizer.run(reference);
    if (options.reference_model) report.reference->name = name + ' ' + report.reference->name;
  }
  report.complete = !interrupt.requested();
  for (SummarySet* set : {&report.engine, report.reference ? &*report.reference : nullptr}) {
    if (set == nullptr) continue;
    set->scores = score_summaries(set->summaries, report.articles.good, options.stemmer);
  }
  report.checks = summary_checks(options, report);
  if (options.output_file) {
    // Only a whole set takes the file's name.
    const std::string path = *options.output_file + (report.complete ? "" : ".partial");
    try {
      write_summaries(path, report, prompts);
    } catch (const Error&) {
      report.file_error = std::current_exception();
    }
  }
  return report;
}

}  // namespace quern::tools
