#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <string>

#include "quern/engine.h"
#include "quern/error.h"
#include "tools/chat/chat_format.h"
#include "tools/chat/commands.h"
#include "tools/chat/session.h"
#include "tools/chat/template_options.h"
#include "tools/chat/terminal/answer_printer.h"
#include "tools/chat/terminal/line_input.h"
#include "tools/cli/generation_options.h"
#include "tools/cli/model_options.h"
#include "tools/cli/option_group.h"
#include "tools/cli/usage_error.h"
#include "tools/input/trimmed_text.h"
#include "tools/output/console.h"
#include "tools/output/interrupt.h"
#include "tools/output/json_output.h"
#include "tools/output/load_progress.h"
#include "tools/output/output_options.h"
#include "tools/output/write_file.h"
#include "tools/quern/command.h"

namespace quern::tools {
namespace {

struct ChatOptions {
  std::string model;
  EngineOptions engine;
  TemplateOptions rendering;
  std::optional<std::string> system;
  std::optional<std::string> load;
  std::optional<std::string> save;
  Request request;
  OutputOptions output;
};

/// A chat on a terminal, or with a message a line from elsewhere.
class Chat {
 public:
  Chat(const ChatOptions& options, Engine& engine, const ChatFormat& format)
      : options_(&options),
        engine_(&engine),
        session_(engine, format, options.request),
        is_terminal_(is_terminal(kStdin)) {
    if (options.load) session_.set_messages(read_message_lines(*options.load));
    if (options.system) session_.set_system(*options.system);
  }

  ExitCode run() {
    // On a terminal Ctrl-C ends an answer; elsewhere the program, as it does in other commands.
    std::optional<InterruptScope> scope;
    if (is_terminal_) {
      flag_.emplace();
    } else {
      scope.emplace();
    }
    const auto input = make_line_input(is_terminal_ ? &*flag_ : nullptr);
    if (is_terminal_) {
      note(can_edit_lines() ? "/help lists the commands, Ctrl-D ends"
                            : "/help lists the commands, Ctrl-D ends; this build of quern cannot "
                              "edit lines: it was made without libedit");
    }
    while (!scope || !scope->requested()) {
      if (flag_) flag_->clear();
      const InputLine line = input->read();
      if (line.kind == InputLine::Kind::end) break;
      if (line.kind == InputLine::Kind::interrupted) continue;
      if (trimmed_text(line.text).empty()) continue;
      if (flag_) flag_->clear();  // it may have come between two reads
      if (!handle(line.text, scope ? &*scope : nullptr)) break;
    }
    if (options_->save) write_message_lines(session_.messages(), *options_->save);
    if (scope && scope->requested()) return ExitCode::interrupted;
    return failed_ && !is_terminal_ ? ExitCode::failed : ExitCode::done;
  }

 private:
  /// False where the chat ends.
  bool handle(const std::string& line, const InterruptScope* scope) {
    try {
      if (is_command(line)) {
        CommandHost host;
        host.session = &session_;
        host.engine = engine_;
        host.print = [](const std::string& text) { write_stderr(text); };
        host.regenerate = [&] {
          answer(scope, [&](const auto& observers) { return session_.regenerate(observers); });
        };
        return run_command(host, line);
      }
      const std::string text = line.starts_with("//") ? line.substr(1) : line;
      answer(scope, [&](const auto& observers) { return session_.ask(text, observers); });
    } catch (const ClosedPipe&) {
      throw;
    } catch (const UsageError& error) {
      report(error.what());
    } catch (const Error& error) {
      report(error.what());
    }
    return true;
  }

  template <typename Ask>
  void answer(const InterruptScope* scope, const Ask& ask) {
    StreamedAnswer shown(!options_->output.quiet && !options_->output.json);
    ChatSession::Observers observers;
    observers.on_piece = [&](const AnswerPiece& piece) {
      if (!options_->output.json) shown.add(piece);
    };
    observers.on_left_out = [&](std::size_t count) {
      note(
          fmt::format("the conversation has grown beyond the {} tokens of a prompt: the oldest {} "
                      "of its {} turns are left out from here on",
                      session_.max_prompt_tokens(), count, session_.num_turns()));
    };
    observers.interrupted = [&] {
      return scope != nullptr ? scope->requested() : flag_->requested();
    };
    const Result result = ask(observers);
    if (options_->output.json) {
      print_json(answer_json(result));
    } else {
      shown.finish();
    }
    explain_end(result);
  }

  OrderedJson answer_json(const Result& result) const {
    OrderedJson json = {{"text", result.text}};
    if (!session_.reasoning().empty()) json["reasoning"] = session_.reasoning();
    json.update({{"output_ids", result.output_ids},
                 {"finish_reason", finish_reason_name(result.finish_reason)}});
    if (result.finish_reason == FinishReason::error) json["error"] = result.error;
    if (const auto& stats = session_.stats()) {
      if (stats->seed) json["seed"] = *stats->seed;
      json.update({{"prompt_tokens", stats->prompt_tokens},
                   {"cached_prompt_tokens", stats->cached_tokens},
                   {"turns_left_out", session_.num_left_out()}});
    }
    return json;
  }

  /// Why an answer ended, where the model did not end it.
  void explain_end(const Result& result) {
    switch (result.finish_reason) {
      case FinishReason::length:
        return note(fmt::format("ended at the limit of {} new tokens (max_new_tokens)",
                                result.output_ids.size()));
      case FinishReason::context:
        return note("ended at the end of the context");
      case FinishReason::cancelled:
        return note("stopped; the answer stays as far as it came (/undo takes it back)");
      case FinishReason::error:
        return report(result.error);
      case FinishReason::stop:
      case FinishReason::stop_string:
        return;
    }
  }

  void note(const std::string& text) const {
    if (!options_->output.quiet) write_stderr(fmt::format("[{}]\n", text));
  }

  void report(const std::string& error) {
    failed_ = true;
    print_error(error);
  }

  const ChatOptions* options_;
  Engine* engine_;
  ChatSession session_;
  bool is_terminal_;
  bool failed_ = false;
  std::optional<InterruptFlag> flag_;
};

ExitCode chat(const ChatOptions& options) {
  const std::string model = chosen_model(options.model);
  if (options.save) check_writable(*options.save);
  const ChatFormat format(read_model_info(model), options.rendering);
  EngineOptions engine_options = options.engine;
  engine_options.on_load = load_progress(options.output);
  Engine engine = Engine::load(model, engine_options);
  return Chat(options, engine, format).run();
}

}  // namespace

Action add_chat(CLI::App& app) {
  const auto options = std::make_shared<ChatOptions>();
  options->engine.max_seqs = 1;
  add_model_option(app, options->model);
  constexpr const char* kTitle = "Chat";
  add_system_option(app, options->system, kTitle);
  OptionGroup group(app, kTitle);
  group.text({"--load", "FILE", "Go on with a conversation: JSON lines of messages"},
             options->load);
  group.text({"--save", "FILE", "Write the conversation there at the end"}, options->save);
  add_template_options(app, options->rendering, kTitle);
  const auto check_generation = add_generation_options(app, options->request);
  add_output_options(app, options->output);
  add_sequence_options(app, options->engine);
  return [=] {
    check_generation();
    if (options->load == "-") {
      usage_error("--load -: expected a file; standard input has the messages of the user");
    }
    apply_output_options(options->output);
    return chat(*options);
  };
}

}  // namespace quern::tools
