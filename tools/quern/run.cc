#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "quern/benchmark.h"
#include "quern/engine.h"
#include "quern/limits.h"
#include "tools/chat/chat_format.h"
#include "tools/chat/chat_requests.h"
#include "tools/chat/template_options.h"
#include "tools/cli/answer_options.h"
#include "tools/cli/generation_options.h"
#include "tools/cli/model_options.h"
#include "tools/cli/option_group.h"
#include "tools/cli/usage_error.h"
#include "tools/generation/answers.h"
#include "tools/generation/generate.h"
#include "tools/generation/prompts.h"
#include "tools/generation/run_report.h"
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
  bool chat = false;
  std::optional<std::string> system;
  TemplateOptions rendering;
  Request request;  ///< all but the prompt
  std::vector<std::string> bad_words;
  bool no_bos = false;
  bool no_parse_special = false;
  bool echo = false;
  bool stream_json = false;
  OutputOptions output;

  bool prints_json() const { return output.json || stream_json; }
};

/// What is asked for, and how it is shown.
struct Work {
  Work(std::size_t num_prompts, int num_answers) : answers(num_prompts, num_answers) {}

  std::vector<Request> requests;
  std::vector<std::string> prompts;  ///< their texts, or ids where there is no tokenizer
  std::vector<std::string> inputs;   ///< what Input lines show: of a chat the last message
  AnswerTexts answers;
};

void add_bad_words(const Engine& engine, const std::vector<std::string>& words, Request& request) {
  for (const std::string& word : words) {
    // In the middle of a text a word usually comes after a space.
    for (const std::string& text : {word, " " + word}) {
      EncodeOptions encode;
      encode.add_bos = false;
      request.bad_words_ids.push_back(engine.tokenizer().encode(text, encode));
    }
  }
}

/// A prompt's text, or what its ids mean, if they mean anything.
std::string prompt_text(const Engine& engine, const Prompt& prompt) {
  if (engine.info().random_weights) return fmt::format("{}", fmt::join(prompt.ids, ","));
  return prompt.ids.empty() ? prompt.text : engine.tokenizer().decode(prompt.ids, true);
}

bool is_chat(const RunOptions& options, const Prompt& prompt) {
  return options.chat || !prompt.messages.empty();
}

Work make_work(const RunOptions& options, const Engine& engine, const std::vector<Prompt>& prompts,
               const std::optional<ChatFormat>& format) {
  Request request = options.request;
  request.parse_special = !options.no_parse_special;
  if (options.no_bos) request.add_bos = false;
  add_bad_words(engine, options.bad_words, request);
  Work work(prompts.size(), request.num_return_sequences);
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    work.requests.push_back(request);
    apply(prompts[i].settings, work.requests.back());
    if (is_chat(options, prompts[i])) {
      const Messages messages = conversation_of(prompts[i], options.system);
      const ChatFormat::Prompt prompt = format->prompt(messages, engine.tokenizer());
      work.requests.back().prompt_ids = prompt.ids;
      work.prompts.push_back(prompt.text);
      work.inputs.push_back(last_content(messages));
      work.answers.expect_chat(i, *format, prompt);
    } else {
      work.requests.back().prompt = prompts[i].text;
      work.requests.back().prompt_ids = prompts[i].ids;
      work.prompts.push_back(prompt_text(engine, prompts[i]));
      work.inputs.push_back(work.prompts.back());
    }
  }
  return work;
}

/// The format of the chats, if there are any. Errors: UsageError for what does not go with chats,
/// and for what needs one.
std::optional<ChatFormat> make_format(const RunOptions& options, const ModelSource& model,
                                      const std::vector<Prompt>& prompts) {
  const bool any = std::any_of(prompts.begin(), prompts.end(),
                               [&](const Prompt& prompt) { return is_chat(options, prompt); });
  const TemplateOptions& rendering = options.rendering;
  if (!any) {
    const char* lonely = options.system                        ? "--system"
                         : rendering.chat_template             ? "--chat-template"
                         : !rendering.variables.empty()        ? "--var"
                         : rendering.date                      ? "--date"
                         : rendering.parse_special_in_messages ? "--parse-special-in-messages"
                                                               : nullptr;
    if (lonely != nullptr) usage_error("{} needs --chat, or prompts that are messages", lonely);
    return std::nullopt;
  }
  if (is_random(model)) usage_error("--shape has no chat template: expected prompts as token ids");
  for (const Prompt& prompt : prompts) {
    if (is_chat(options, prompt) && !prompt.ids.empty()) {
      usage_error("--chat and {} contradict each other: expected a text, got token ids",
                  prompt.source);
    }
  }
  if (options.echo) usage_error("--echo does not go with chats, whose prompts are not for people");
  return ChatFormat(read_model_info(model), rendering);
}

ExitCode run(const RunOptions& options) {
  const ModelSource model = chosen_source(options.source);
  const std::vector<Prompt> prompts = read_prompts(options.prompts, true);
  reject_empty(prompts);
  if (is_random(model)) reject_texts(prompts);
  const std::optional<ChatFormat> format = make_format(options, model, prompts);
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
  Work work = make_work(options, engine, prompts, format);

  const OutputOptions& output = options.output;
  const bool has_several = options.request.num_return_sequences > 1;
  AnswerPrinter answers(work.inputs, is_random(model) ? AnswerForm::ids : AnswerForm::text,
                        !has_several, options.echo);
  const InterruptScope interrupt;
  ProgressBar progress(prompts.size(), prompts.size() > 1 && shows_progress(output));
  GenerateObservers observers;
  observers.on_update = [&](std::size_t index, const Update& update) {
    const AnswerTexts::Shown shown = work.answers.shown(index, update);
    if (options.stream_json) {
      write_stdout(stream_lines(shown.update, shown.reasoning,
                                prompts.size() > 1 ? std::optional(index) : std::nullopt,
                                has_several ? std::optional(update.sequence) : std::nullopt));
    } else if (!output.json) {
      answers.on_update(shown.update);
    }
    progress.add_tokens(update.token_ids.size());
  };
  observers.on_result = [&](std::size_t index, const Result& result) {
    progress.clear();
    if (!options.prints_json()) answers.on_result(index, work.answers.shown(index, result));
    progress.add_finished();
  };
  observers.interrupted = [&] { return interrupt.requested(); };
  std::vector<Result> results = generate_all(engine, work.requests, observers);
  progress.clear();

  if (options.engine.profile) write_stderr(profile_table(profile(engine)));
  for (std::size_t i = 0; i < results.size(); ++i) {
    results[i] = work.answers.shown(i, results[i]);
    if (!options.echo) continue;
    results[i].text.insert(0, work.prompts[i]);
    for (SequenceResult& answer : results[i].sequences) answer.text.insert(0, work.prompts[i]);
  }
  if (options.prints_json()) {
    print_json(run_json(engine, work.requests, results, work.prompts,
                        [&](std::size_t index, std::size_t answer) {
                          return work.answers.reasoning(index, answer);
                        }));
  } else if (!output.quiet) {
    write_stderr(summary_line(engine, work.requests, results));
  }
  const bool failed = print_errors(results);
  if (interrupt.requested()) return ExitCode::interrupted;
  return failed ? ExitCode::failed : ExitCode::done;
}

void add_bad_words_option(CLI::App& app, std::vector<std::string>& bad_words) {
  OptionGroup group(app, "Penalties");
  group.values({"--bad-words", "TEXT", "Never write TEXT; may be repeated"},
               [&bad_words](const std::string& option, const std::string& value) {
                 if (value.empty()) usage_error("{}: expected some text, got ''", option);
                 bad_words.push_back(value);
               });
}

/// Returns --chat.
const CLI::Option* add_chat_options(CLI::App& app, RunOptions& options) {
  constexpr const char* kTitle = "Chat";
  OptionGroup group(app, kTitle);
  const CLI::Option* chat = group.flag(
      "--chat", options.chat,
      "Take each prompt for what the user of a chat says, and write it as the model's chat "
      "template does");
  add_system_option(app, options.system, kTitle);
  add_template_options(app, options.rendering, kTitle);
  return chat;
}

/// The options that say what is printed.
struct TextSwitches {
  const CLI::Option* logprobs = nullptr;
  const CLI::Option* prompt_logprobs = nullptr;
  const CLI::Option* echo = nullptr;
  const CLI::Option* stream_json = nullptr;
};

TextSwitches add_text_options(CLI::App& app, RunOptions& options) {
  OptionGroup group(app, "Output");
  TextSwitches switches;
  group.flag("--keep-special", options.request.keep_special,
             "Let special tokens appear in the text");
  switches.echo = group.flag("--echo", options.echo, "Print the prompt in front of its answer");
  switches.stream_json =
      group.flag("--stream-json", options.stream_json,
                 "Print a JSON line for each token as it comes, and then what --json prints");
  switches.logprobs =
      group.integer({"--logprobs", "N", "With JSON: log-probabilities, and the N best tokens'"},
                    options.request.top_logprobs, 0, kMaxTopLogprobs);
  switches.prompt_logprobs = group.integer(
      {"--prompt-logprobs", "N", "With JSON: those of the prompt's tokens, and the N best ones'"},
      options.request.prompt_logprobs, 0, kMaxTopLogprobs);
  return switches;
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
  const auto encoding = add_encode_options(app, options->no_bos, options->no_parse_special);
  const CLI::Option* chat = add_chat_options(app, *options);
  const auto check_generation = add_generation_options(app, options->request);
  const auto check_answers = add_answer_options(app, options->request);
  add_bad_words_option(app, options->bad_words);
  const TextSwitches text = add_text_options(app, *options);
  add_output_options(app, options->output);
  const CLI::Option* max_seqs = add_engine_options(app, options->engine);
  add_kv_reservation_option(app, options->engine, "full");
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
    reject_with(chat, encoding);
    reject_with(chat, {sources.prompt_ids, text.echo});
    reject_together({text.echo, text.stream_json});
    for (const CLI::Option* logprobs : {text.logprobs, text.prompt_logprobs}) {
      if (logprobs->count() == 0 || options->prints_json()) continue;
      usage_error("{} needs --json or --stream-json: plain text has no place for them",
                  logprobs->get_name());
    }
    options->max_seqs_given = max_seqs->count() != 0;
    apply_output_options(options->output);
    return run(*options);
  };
}

}  // namespace quern::tools
