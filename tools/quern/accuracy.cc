#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "quern/compare.h"
#include "quern/files.h"
#include "tools/cli/model_options.h"
#include "tools/cli/usage_error.h"
#include "tools/input/text_input.h"
#include "tools/output/console.h"
#include "tools/output/interrupt.h"
#include "tools/output/load_progress.h"
#include "tools/output/progress.h"
#include "tools/output/write_file.h"
#include "tools/quality/accuracy/accuracy_bounds.h"
#include "tools/quality/accuracy/accuracy_options.h"
#include "tools/quality/accuracy/accuracy_report.h"
#include "tools/quality/accuracy/default_text_txt.h"
#include "tools/quality/engine_spec.h"
#include "tools/quality/perplexity/run_perplexity.h"
#include "tools/quality/summaries/run_summaries.h"
#include "tools/quern/command.h"

namespace quern::tools {
namespace {

// Steps of 128, 32 and then 1 row: each way in which a GPU multiplies matrices has its turn.
constexpr int kPromptTokens = 160;
constexpr int kMaxTokensPerStep = 128;

bool same_engine(const EngineOptions& a, const EngineOptions& b) {
  return engine_name(a) == engine_name(b);
}

/// Fills a report part by part, up to an interruption.
class AccuracyRun {
 public:
  explicit AccuracyRun(const AccuracyOptions& options)
      : options_(options), model_(chosen_model(options.model)) {
    options_.engine.on_load = load_progress(options.output, &interrupt_);
    options_.reference_engine.on_load = options_.engine.on_load;
    if (options.output_file) check_writable(*options.output_file);
    report_.tested = resolved(model_, options.engine);
    if (options.against) {
      original_ = chosen_model(*options.against);
      options_.reference_engine.quantize.reset();
      options_.reference_engine.quantize_activations = ActivationQuantization::off;
    }
    reference_ = resolved(original_.value_or(model_), options_.reference_engine);
    report_.reference = engine_name(reference_);
    if (original_) report_.reference = *original_ + ' ' + report_.reference;
    if (!has_other_engine() && !options.has_reference_file()) {
      usage_error(
          "--reference {}: that is what is tested; choose another --dtype, --device or --reference",
          report_.reference);
    }
    report_.bounds =
        options.bounds_file.empty() ? "built-in bounds" : input_name(options.bounds_file);
    bounds_ =
        read_accuracy_bounds(options.bounds_file, tested_key(), report_.tested.kv_cache_dtype);
    text_ =
        options.perplexity.file.empty() ? kDefaultText : read_utf8_file(options.perplexity.file);
    if (!options.summaries.source.file.empty()) articles_ = read_articles(options.summaries.source);
    if (!original_) requests_ = make_requests();
  }

  /// After an interruption: what was found so far.
  AccuracyReport run() {
    try {
      run_parts();
    } catch (const InterruptedError&) {  // while loading for one of them
      report_.complete = false;
    }
    report_.environment = environment();
    return std::move(report_);
  }

 private:
  void run_parts() {
    if (differs_by_node() && !original_) add_nodes(kLockStep);
    if (original_) {
      // Other weights have other values; what counts is what becomes of them.
    } else if (options_.reference_activations) {
      add_nodes_against_file();
    } else if (has_other_engine()) {
      add_nodes(kFreeRunning);
    }
    add_perplexity();
    if (articles_) add_summaries();
  }

  EngineOptions resolved(const std::string& model, const EngineOptions& options) {
    const ModelSummary summary = inspect(model, options);
    if (model == model_) {
      report_.info = summary.info;
      tested_weights_ = summary.weights;
    }
    return summary.options;
  }

  bool has_other_engine() const { return original_ || !same_engine(report_.tested, reference_); }

  /// Whose bounds are meant: against an original those of the format that most weights are in.
  std::string tested_key() const {
    if (!original_) return dtype_name(report_.tested);
    const bool rounds_inputs = report_.tested.quantize_activations != ActivationQuantization::off;
    std::uint64_t most = 0;
    std::string key = dtype_name(report_.tested);
    for (const WeightStorage& storage : tested_weights_) {
      if (storage.num_parameters <= most) continue;
      const bool is_int8 = storage.format.starts_with("uint8");
      const std::string found = storage.format.starts_with("uint4")    ? "int4"
                                : storage.format.starts_with("float8") ? "fp8"
                                : is_int8 && rounds_inputs             ? "w8a8"
                                : is_int8                              ? "int8"
                                                                       : "";
      if (found.empty()) continue;
      most = storage.num_parameters;
      key = found;
    }
    return key;
  }

  /// Whether the engines differ when both have the tested KV cache, as in lock-step.
  bool differs_by_node() const {
    EngineOptions reference = reference_;
    reference.kv_cache_dtype = report_.tested.kv_cache_dtype;
    return !same_engine(report_.tested, reference);
  }

  std::vector<Request> make_requests() const {
    const auto tokenizer = Tokenizer::load(find_model_folder(model_));
    std::vector<Request> requests;
    if (options_.has_prompts()) {
      const std::vector<Prompt> prompts = read_prompts(options_.prompts);
      reject_empty(prompts);
      for (const Prompt& prompt : prompts) {
        requests.emplace_back().prompt_ids =
            prompt.ids.empty() ? tokenizer->encode(prompt.text) : prompt.ids;
      }
      return requests;
    }
    const int room = context_of(options_.engine, model_) - options_.decode_steps - 1;
    TokenIds ids = tokenizer->encode(text_);
    ids.resize(std::min(ids.size(), static_cast<std::size_t>(std::clamp(room, 1, kPromptTokens))));
    requests.emplace_back().prompt_ids = std::move(ids);
    return requests;
  }

  CompareOptions compare_options() const {
    CompareOptions compare;
    compare.tested = options_.engine;
    compare.tested.max_tokens_per_step =
        std::min(options_.engine.max_tokens_per_step, kMaxTokensPerStep);
    compare.decode_steps = options_.decode_steps;
    return compare;
  }

  /// Lock-step across devices keeps to the tested dtype, whose roundings are then no errors.
  void add_nodes(const char* mode) {
    if (!report_.complete) return;
    const bool lock_step = mode == kLockStep;
    CompareOptions compare = compare_options();
    compare.lock_step = lock_step;
    compare.reference_device = reference_.device;
    compare.reference_device_index = reference_.device_index;
    const bool same_device = device_name(report_.tested) == device_name(reference_);
    if (!lock_step || same_device) compare.reference_dtype = reference_.dtype;
    if (!lock_step) compare.reference_kv_cache_dtype = reference_.kv_cache_dtype;
    std::size_t num_tokens = 0;
    for (const Request& request : requests_) {
      num_tokens += request.prompt_ids.size() + static_cast<std::size_t>(options_.decode_steps);
    }
    std::optional<ProgressBar> progress;  // not before the weights' bar is gone
    compare.on_step = [&](const ComparedStep& step) {
      if (!progress) {
        progress.emplace(num_tokens, shows_progress(options_.output), "tokens compared");
      }
      progress->add_finished(static_cast<std::size_t>(step.num_tokens));
      return !interrupt_.requested();
    };
    const Comparison comparison = quern::compare(model_, requests_, compare);
    add_nodes(mode, comparison, engine_name(comparison.reference));
  }

  void add_nodes_against_file() {
    if (!report_.complete) return;
    const std::string& file = *options_.reference_activations;
    add_nodes(kFreeRunning, compare_with_file(model_, file, compare_options()), file);
  }

  void add_nodes(const char* mode, const Comparison& comparison, const std::string& reference) {
    const bool lock_step = mode == kLockStep;
    const NodeErrors& errors = report_.nodes.emplace_back(
        NodeErrors{mode, engine_name(comparison.tested), reference,
                   errors_by_kind(comparison, lock_step), comparison.complete});
    report_.complete = comparison.complete;
    const bool same_dtype = comparison.tested.dtype == comparison.reference.dtype;
    const auto& nmse = lock_step ? bounds_.lock_step_nmse : bounds_.free_running_nmse;
    if (lock_step && same_dtype) {
      add_checks(over_bound_checks(errors));
    } else if (nmse) {
      add_checks(nmse_checks(errors, *nmse));
    }
  }

  void add_perplexity() {
    if (!report_.complete) return;
    PerplexityOptions options = options_.perplexity;
    options.model = model_;
    options.engine = options_.engine;
    options.engine.max_seqs = 1;
    options.output = options_.output;
    if (options.file.empty()) options.file = "the built-in text";
    if (original_) {
      options.against = engine_name(reference_);
      options.against_model = original_;
    } else if (options_.reference_logits) {
      options.against = options_.reference_logits;
    } else if (has_other_engine()) {
      options.against = report_.reference;
    }
    if (options.has_reference()) {
      options.max_perplexity_increase = bounds_.max_perplexity_increase;
      options.max_kl = bounds_.max_kl;
      options.min_top1_agreement = bounds_.min_top1_agreement;
    }
    report_.perplexity = run_perplexity(options, text_, interrupt_);
    report_.complete = report_.perplexity->judgement.complete;
    add_checks(report_.perplexity->checks);
  }

  void add_summaries() {
    if (!report_.complete) return;
    SummarizeOptions options = options_.summaries;
    options.model = model_;
    options.engine = options_.engine;
    options.max_seqs_given = options_.max_seqs_given;
    options.request.sampling.greedy = true;
    options.output = options_.output;
    options.rouge1_threshold = bounds_.rouge1_threshold;
    options.max_rouge_drop = bounds_.max_rouge_drop;
    if (options_.reference_summaries) {
      options.reference_file = options_.reference_summaries;
    } else if (has_other_engine()) {
      options.reference = options_.reference_engine;
      options.reference_model = original_;
    }
    report_.summaries = run_summaries(options, *std::move(articles_), interrupt_);
    report_.complete = report_.summaries->complete;
    add_checks(report_.summaries->checks);
  }

  void add_checks(const std::vector<Check>& checks) {
    report_.checks.insert(report_.checks.end(), checks.begin(), checks.end());
  }

  InterruptScope interrupt_;
  AccuracyOptions options_;
  std::string model_;
  std::optional<std::string> original_;  ///< the model that this one was quantized from
  EngineOptions reference_;              ///< as resolved
  std::vector<WeightStorage> tested_weights_;
  AccuracyBounds bounds_;
  std::string text_;
  std::optional<Articles> articles_;
  std::vector<Request> requests_;
  AccuracyReport report_;
};

ExitCode accuracy(const AccuracyOptions& options) {
  const AccuracyReport report = AccuracyRun(options).run();
  const auto write = [&] {
    if (options.output_file) write_file(*options.output_file, accuracy_page(report));
  };
  write_then_print(write, [&](bool /*written*/) {
    if (options.output.json) {
      print_json(accuracy_json(report));
    } else if (options.output_file) {
      write_stdout(checks_text(report.checks) + accuracy_verdict(report) + '\n');
    } else {
      write_stdout(accuracy_page(report));
    }
  });
  return report.complete ? checks_exit(report.checks) : ExitCode::interrupted;
}

}  // namespace

Action add_accuracy(CLI::App& app) {
  const auto options = std::make_shared<AccuracyOptions>();
  const auto settle = add_accuracy_options(app, *options);
  return [=] {
    settle();
    apply_output_options(options->output);
    return accuracy(*options);
  };
}

}  // namespace quern::tools
