#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "quern/benchmark.h"
#include "quern/engine.h"
#include "quern/limits.h"
#include "tools/cli/answer_options.h"
#include "tools/cli/generation_options.h"
#include "tools/cli/model_options.h"
#include "tools/cli/option_group.h"
#include "tools/cli/usage_error.h"
#include "tools/generation/answers.h"
#include "tools/generation/generate.h"
#include "tools/generation/prompts.h"
#include "tools/output/console.h"
#include "tools/output/interrupt.h"
#include "tools/output/json_output.h"
#include "tools/output/load_progress.h"
#include "tools/output/output_options.h"
#include "tools/output/progress.h"
#include "tools/quern/command.h"
#include "tools/report/profile_report.h"

namespace quern::tools {
namespace {

struct RunOptions {
  SourceOptions source;
  EngineOptions engine;
  bool max_seqs_given = false;
  PromptOptions prompts;
  Request request;  ///< all but the prompt
  std::vector<std::string> bad_words;
  bool no_bos = false;
  bool no_parse_special = false;
  OutputOptions output;
};

std::vector<Request> make_requests(const Engine& engine, const RunOptions& options,
                                   const std::vector<Prompt>& prompts) {
  Request request = options.request;
  request.parse_special = !options.no_parse_special;
  if (options.no_bos) request.add_bos = false;
  for (const std::string& word : options.bad_words) {
    // In the middle of a text a word usually comes after a space.
    for (const std::string& text : {word, " " + word}) {
      EncodeOptions encode;
      encode.add_bos = false;
      request.bad_words_ids.push_back(engine.tokenizer().encode(text, encode));
    }
  }
  std::vector<Request> requests;
  requests.reserve(prompts.size());
  for (const Prompt& prompt : prompts) {
    requests.push_back(request);
    requests.back().prompt = prompt.text;
    requests.back().prompt_ids = prompt.ids;
    apply(prompt.settings, requests.back());
  }
  return requests;
}

/// What the answers show as their prompts: the texts, or what the ids mean, if they mean anything.
std::vector<std::string> prompt_texts(const Engine& engine, const std::vector<Prompt>& prompts) {
  std::vector<std::string> texts;
  texts.reserve(prompts.size());
  for (const Prompt& prompt : prompts) {
    texts.push_back(engine.info().random_weights ? fmt::format("{}", fmt::join(prompt.ids, ","))
                    : prompt.ids.empty()         ? prompt.text
                                                 : engine.tokenizer().decode(prompt.ids, true));
  }
  return texts;
}

/// The seed of each result that was sampled; a greedy one has none that matters.
std::vector<std::optional<std::uint64_t>> sampling_seeds(const Engine& engine,
                                                         const std::vector<Request>& requests,
                                                         const std::vector<Result>& results) {
  std::vector<std::optional<std::uint64_t>> seeds(results.size());
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (engine.resolve(requests[i]).sampling.temperature.value() > 0) seeds[i] = results[i].seed;
  }
  return seeds;
}

/// ", seed 7", ", seeds 7, 8", or nothing.
std::string seeds_text(const std::vector<std::optional<std::uint64_t>>& all) {
  constexpr std::size_t kMaxShown = 8;  // JSON has them all
  std::vector<std::uint64_t> seeds;
  for (const auto& seed : all) {
    if (seed) seeds.push_back(*seed);
  }
  if (seeds.empty()) return "";
  if (std::all_of(seeds.begin(), seeds.end(), [&](auto seed) { return seed == seeds[0]; })) {
    return fmt::format(", seed {}", seeds.front());
  }
  const auto shown = std::span(seeds).first(std::min(seeds.size(), kMaxShown));
  return fmt::format(", seeds {}{}", fmt::join(shown, ", "),
                     shown.size() < seeds.size() ? ", …" : "");
}

std::size_t num_output_tokens(const Result& result) {
  if (result.sequences.empty()) return result.output_ids.size();
  std::size_t count = 0;
  for (const SequenceResult& answer : result.sequences) count += answer.output_ids.size();
  return count;
}

/// "31 tokens: prefill 512.0 tokens/s, decode 310.2 tokens/s, first token after 21 ms, length, seed
/// 7"
std::string summary_line(const Engine& engine, const std::vector<Request>& requests,
                         const std::vector<Result>& results) {
  const Timing timing = engine.timing();
  std::size_t num_tokens = 0;
  std::map<std::string, int> reasons;
  for (const Result& result : results) {
    num_tokens += num_output_tokens(result);
    ++reasons[finish_reason_name(result.finish_reason)];
  }
  std::string line = fmt::format(
      "{} tokens: prefill {:.1f} tokens/s, decode {:.1f} tokens/s, first after {:.0f} ms",
      num_tokens, timing.prefill_tokens_per_s, timing.decode_tokens_per_s,
      timing.time_to_first_token_ms);
  if (timing.cached_prompt_tokens > 0) {
    line += fmt::format(", {} prompt tokens cached", timing.cached_prompt_tokens);
  }
  for (const auto& [reason, count] : reasons) {
    line += results.size() == 1 ? ", " + reason : fmt::format(", {} {}", count, reason);
  }
  return line + seeds_text(sampling_seeds(engine, requests, results)) + "\n";
}

OrderedJson run_json(const Engine& engine, const std::vector<Request>& requests,
                     const std::vector<Result>& results, const std::vector<std::string>& prompts,
                     bool with_logprobs) {
  const bool one_seed = std::all_of(results.begin(), results.end(), [&](const Result& result) {
    return result.seed == results.front().seed;
  });
  const auto seeds = sampling_seeds(engine, requests, results);
  OrderedJson json = subject_json(engine.info(), engine.options());
  json.update({{"seed", one_seed ? OrderedJson(results.front().seed) : OrderedJson(nullptr)},
               {"results", OrderedJson::array()},
               {"timing", timing_json(engine.timing())}});
  if (engine.options().profile) json["profile"] = profile_json(profile(engine));
  for (std::size_t i = 0; i < results.size(); ++i) {
    json["results"].push_back(result_json(results[i], prompts[i], with_logprobs));
    if (seeds[i]) json["results"].back()["seed"] = *seeds[i];
  }
  return json;
}

/// An error line for each prompt that could not go on; true when there are any.
bool print_errors(const std::vector<Result>& results) {
  bool any = false;
  for (std::size_t i = 0; i < results.size(); ++i) {
    if (results[i].finish_reason != FinishReason::error) continue;
    any = true;
    print_error(results.size() == 1
                    ? results[i].error
                    : fmt::format("prompt {} of {}: {}", i + 1, results.size(), results[i].error));
  }
  return any;
}

ExitCode run(const RunOptions& options) {
  const ModelSource model = chosen_source(options.source);
  const std::vector<Prompt> prompts = read_prompts(options.prompts);
  reject_empty(prompts);
  if (is_random(model)) reject_texts(prompts);
  EngineOptions engine_options = options.engine;
  if (!options.max_seqs_given) {
    // No memory for sequences that cannot come, but all beams of a search run at a time.
    const int num_beams = options.request.beam_search.num_beams;
    const auto for_each =
        static_cast<std::size_t>(std::max(num_beams, options.request.num_return_sequences));
    const auto useful =
        static_cast<int>(std::min<std::size_t>(engine_options.max_seqs, prompts.size() * for_each));
    engine_options.max_seqs = std::max(useful, num_beams);
  }
  engine_options.on_load = load_progress(options.output);
  Engine engine = Engine::load(model, engine_options);
  const std::vector<Request> requests = make_requests(engine, options, prompts);
  const std::vector<std::string> texts = prompt_texts(engine, prompts);

  const OutputOptions& output = options.output;
  AnswerPrinter answers(texts, is_random(model) ? AnswerForm::ids : AnswerForm::text,
                        options.request.num_return_sequences == 1);
  const InterruptScope interrupt;
  ProgressBar progress(prompts.size(), prompts.size() > 1 && shows_progress(output));
  GenerateObservers observers;
  observers.on_update = [&](std::size_t, const Update& update) {
    if (!output.json) answers.on_update(update);
    progress.add_tokens(update.token_ids.size());
  };
  observers.on_result = [&](std::size_t index, const Result& result) {
    progress.clear();
    if (!output.json) answers.on_result(index, result);
    progress.add_finished();
  };
  observers.interrupted = [&] { return interrupt.requested(); };
  const std::vector<Result> results = generate_all(engine, requests, observers);
  progress.clear();

  if (options.engine.profile) write_stderr(profile_table(profile(engine)));
  if (output.json) {
    print_json(
        run_json(engine, requests, results, texts, options.request.top_logprobs.has_value()));
  } else if (!output.quiet) {
    write_stderr(summary_line(engine, requests, results));
  }
  const bool failed = print_errors(results);
  if (interrupt.requested()) return ExitCode::interrupted;
  return failed ? ExitCode::failed : ExitCode::done;
}

void add_bad_words(CLI::App& app, std::vector<std::string>& bad_words) {
  OptionGroup group(app, "Penalties");
  group.values({"--bad-words", "TEXT", "Never write TEXT; may be repeated"},
               [&bad_words](const std::string& option, const std::string& value) {
                 if (value.empty()) usage_error("{}: expected some text, got ''", option);
                 bad_words.push_back(value);
               });
}

CLI::Option* add_text_options(CLI::App& app, Request& request) {
  OptionGroup group(app, "Output");
  group.flag("--keep-special", request.keep_special, "Let special tokens appear in the text");
  return group.integer(
      {"--logprobs", "N", "With --json: log-probabilities, and the N best tokens'"},
      request.top_logprobs, 0, kMaxTopLogprobs);
}

CLI::Option* add_profile_option(CLI::App& app, EngineOptions& options) {
  OptionGroup group(app, "Output");
  return group.flag("--profile", options.profile,
                    "Print the time of each kind of node against the device's read bandwidth");
}

}  // namespace

Action add_run(CLI::App& app) {
  const auto options = std::make_shared<RunOptions>();
  add_source_options(app, options->source);
  const PromptSources sources = add_prompt_options(app, options->prompts);
  add_encode_options(app, options->no_bos, options->no_parse_special);
  const auto check_generation = add_generation_options(app, options->request);
  const auto check_answers = add_answer_options(app, options->request);
  add_bad_words(app, options->bad_words);
  const CLI::Option* logprobs = add_text_options(app, options->request);
  add_output_options(app, options->output);
  const CLI::Option* max_seqs = add_engine_options(app, options->engine);
  const CLI::Option* device_loop = add_loop_options(app, options->engine);
  const CLI::Option* profile = add_profile_option(app, options->engine);
  return [=] {
    reject_together(sources.all());
    check_generation();
    check_answers();
    if (!options->bad_words.empty() && !options->source.random.shape.empty()) {
      usage_error("--bad-words needs a tokenizer: --shape has none");
    }
    if (options->engine.device_loop == DeviceLoopChoice::require) {
      reject_together({device_loop, profile});
    }
    if (logprobs->count() != 0 && !options->output.json) {
      usage_error("--logprobs needs --json: plain text has no place for them");
    }
    options->max_seqs_given = max_seqs->count() != 0;
    apply_output_options(options->output);
    return run(*options);
  };
}

}  // namespace quern::tools
